// Own images to learn from: the list of them, the classes, and the boxes of the one at hand.
import { byId, count, el } from "./dom.js";
import { BoxEditor } from "./editor.js";
import { connectButton, connectDrop, isImage } from "./sources.js";
import { colour } from "./view.js";

/** The panel with the id annotate. */
export class Annotator {
  /** @type {{blob: Blob, name: string, url: string, width: number, height: number, boxes: {class: number, box: number[]}[]}[]} */
  images = [];
  /** @type {string[]} */
  classes = [];
  #class = 0;
  #shown = -1;
  #editor;
  #onTrouble;

  /** @param {(text: string) => void} onTrouble */
  constructor(onTrouble) {
    this.#onTrouble = onTrouble;
    this.#editor = new BoxEditor(byId("layer"), {
      newClass: () => this.#classForNew(),
      name: (index) => this.classes[index],
      onChange: () => this.#changed(),
    });
    connectButton(byId("add-images"), byId("own-files"), (file) => this.#add(file));
    connectDrop(byId("annotate"), (files) => files.forEach((file) => this.#add(file)));
    byId("class-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#useClass(byId("class-name").value);
    });
    byId("add-box").addEventListener("click", () => this.#editor.addInMiddle());
    byId("remove-image").addEventListener("click", () => this.#removeImage());
    byId("editor").addEventListener("keydown", (event) => this.#digit(event));
  }

  /** How many boxes there are in all images. */
  get boxes() {
    return this.images.reduce((sum, { boxes }) => sum + boxes.length, 0);
  }

  async #add(file) {
    if (!isImage(file)) {
      this.#onTrouble(`${file.name} is not an image.`);
      return;
    }
    const url = URL.createObjectURL(file);
    const test = new Image();
    test.src = url;
    try {
      await test.decode();
    } catch {
      URL.revokeObjectURL(url);
      this.#onTrouble(`${file.name} could not be read.`);
      return;
    }
    this.images.push({ blob: file, name: file.name, url, width: test.naturalWidth, height: test.naturalHeight, boxes: [] });
    this.#show(this.images.length - 1);
  }

  #removeImage() {
    const [gone] = this.images.splice(this.#shown, 1);
    URL.revokeObjectURL(gone.url);
    this.#show(Math.min(this.#shown, this.images.length - 1));
  }

  #show(index) {
    this.#shown = index;
    const image = this.images[index];
    byId("editor").hidden = !image;
    if (image) {
      byId("edit-image").src = image.url;
      byId("edit-image").alt = `The image to annotate: ${image.name}`;
      byId("edit-frame").style.setProperty("--w", image.width);
      byId("edit-frame").style.setProperty("--h", image.height);
    }
    this.#editor.edit(image);
    this.#changed();
  }

  #changed() {
    this.#thumbs();
    this.#chips();
    this.#list();
  }

  #thumbs() {
    const root = byId("thumbs");
    // Kept where they are, so that the focus stays too.
    while (root.children.length > this.images.length) root.lastChild.remove();
    while (root.children.length < this.images.length) {
      const index = root.children.length;
      root.append(el("button", { type: "button", onclick: () => this.#show(index) }, el("img", { alt: "" }), el("span", {})));
    }
    this.images.forEach(({ url, name, boxes }, index) => {
      const button = root.children[index];
      const [picture, badge] = button.children;
      if (picture.src !== url) picture.src = url;
      badge.textContent = boxes.length;
      button.setAttribute("aria-label", `${name}, ${count(boxes.length, "box", "boxes")}`);
      button.setAttribute("aria-pressed", index === this.#shown);
    });
  }

  #chips() {
    const root = byId("chips");
    while (root.children.length > this.classes.length) root.lastChild.remove();
    while (root.children.length < this.classes.length) {
      const index = root.children.length;
      const key = el("span", { class: "key", "aria-hidden": "true" });
      root.append(el("button", { type: "button", onclick: () => this.#choose(index) }, key, el("span", {})));
    }
    this.classes.forEach((name, index) => {
      const button = root.children[index];
      button.firstChild.style.background = colour(index);
      button.lastChild.textContent = name;
      button.setAttribute("aria-pressed", index === this.#class);
    });
    byId("class-list").replaceChildren(...this.classes.map((name) => el("option", { value: name })));
  }

  #list() {
    const boxes = this.images[this.#shown]?.boxes ?? [];
    byId("boxes").replaceChildren(
      ...boxes.map(({ class: which, box: [x0, y0, x1, y1] }, index) => {
        const key = el("span", { class: "key", "aria-hidden": "true" });
        key.style.background = colour(which);
        const select = el(
          "select",
          {
            "aria-label": `Class of box ${index + 1}`,
            onchange: (event) => {
              boxes[index].class = Number(event.target.value);
              this.#editor.refresh();
              this.#changed();
              byId("boxes").children[index]?.querySelector("select").focus();
            },
          },
          ...this.classes.map((name, value) => el("option", { value, selected: value === which }, name)),
        );
        const remove = el("button", { type: "button", class: "quiet", "aria-label": `Delete box ${index + 1}`, onclick: () => this.#editor.remove(index) }, "Delete");
        const place = el("span", { class: "figure soft" }, `${Math.round(x1 - x0)} × ${Math.round(y1 - y0)}`);
        return el("li", {}, key, select, place, remove);
      }),
    );
  }

  #useClass(text) {
    const name = text.trim();
    if (!name) return;
    if (!this.classes.includes(name)) this.classes.push(name);
    byId("class-name").value = "";
    this.#choose(this.classes.indexOf(name));
  }

  /** For the next box, and for the one that has the focus. */
  #choose(index) {
    this.#class = index;
    this.#editor.reclass(index);
    this.#chips();
  }

  #digit(event) {
    const index = Number(event.key) - 1;
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || !(index in this.classes)) return;
    event.preventDefault();
    this.#choose(index);
  }

  /** What is typed counts although nobody pressed the button; without any name the first class gets one. */
  #classForNew() {
    if (byId("class-name").value.trim()) this.#useClass(byId("class-name").value);
    if (!this.classes.length) this.#useClass("object");
    return this.#class;
  }
}
