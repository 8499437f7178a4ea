// Boxes on one image: drawn, moved and resized by pointer, touch or keyboard.
import { el } from "./dom.js";
import { colour } from "./view.js";

/** What arrow keys do, in parts of the image's shorter side; with Alt a pixel. */
const STRIDE = 0.02;
/** A press that moves less than this, in CSS pixels, is a click. */
const CLICK = 4;
/** The least side of a box, in the image's pixels. */
const LEAST = 2;

const CORNERS = ["nw", "ne", "sw", "se"];

/**
 * The layer over an image on which boxes are edited. Boxes are elements, so that the keyboard and screen readers reach them.
 */
export class BoxEditor {
  #layer;
  #image;
  #hooks;
  #selected = -1;
  #elements = [];

  /**
   * @param {HTMLElement} layer
   * @param {{newClass: () => number | undefined, name: (index: number) => string, onChange: () => void}} hooks
   *   `newClass`: the class of the next box, nothing if there is none yet
   */
  constructor(layer, hooks) {
    this.#layer = layer;
    this.#hooks = hooks;
    layer.addEventListener("pointerdown", (event) => this.#press(event));
    layer.addEventListener("keydown", (event) => this.#key(event));
    layer.addEventListener("focusin", (event) => {
      const index = this.#elements.findIndex((box) => box === event.target);
      if (index >= 0) this.#select(index);
    });
  }

  /** @param {{width: number, height: number, boxes: {class: number, box: number[]}[]} | undefined} image */
  edit(image) {
    this.#image = image;
    this.#selected = -1;
    this.refresh();
  }

  /** Shows the boxes as they are now. */
  refresh() {
    const boxes = this.#image?.boxes ?? [];
    while (this.#elements.length > boxes.length) this.#elements.pop().remove();
    while (this.#elements.length < boxes.length) {
      const box = el("div", { class: "abox", tabindex: "0", role: "button" }, el("span", {}), ...CORNERS.map((corner) => el("i", { "data-corner": corner })));
      this.#elements.push(box);
      this.#layer.append(box);
    }
    if (this.#selected >= boxes.length) this.#selected = -1;
    boxes.forEach((box, index) => this.#place(box, index));
  }

  #place({ class: which, box: [x0, y0, x1, y1] }, index) {
    const { width, height } = this.#image;
    const node = this.#elements[index];
    const name = this.#hooks.name(which);
    node.style.left = `${(100 * x0) / width}%`;
    node.style.top = `${(100 * y0) / height}%`;
    node.style.width = `${(100 * (x1 - x0)) / width}%`;
    node.style.height = `${(100 * (y1 - y0)) / height}%`;
    node.style.setProperty("--box", colour(which));
    node.firstChild.textContent = name;
    node.setAttribute("aria-label", `${name}, ${Math.round(x1 - x0)} by ${Math.round(y1 - y0)} at ${Math.round(x0)}, ${Math.round(y0)}`);
    node.setAttribute("aria-pressed", index === this.#selected);
  }

  #select(index) {
    this.#selected = index;
    this.#elements.forEach((box, at) => box.setAttribute("aria-pressed", at === index));
  }

  /** A box in the middle, for who has no pointer. */
  addInMiddle() {
    const { width, height } = this.#image;
    const index = this.#add([width * 0.35, height * 0.35, width * 0.65, height * 0.65]);
    this.#elements[index]?.focus();
  }

  #add(box) {
    const which = this.#hooks.newClass();
    if (which === undefined) return -1;
    this.#image.boxes.push({ class: which, box });
    this.#selected = this.#image.boxes.length - 1;
    this.refresh();
    this.#hooks.onChange();
    return this.#selected;
  }

  /** @param {number} index */
  remove(index) {
    this.#image.boxes.splice(index, 1);
    this.#selected = -1;
    this.refresh();
    this.#hooks.onChange();
    (this.#elements[Math.min(index, this.#elements.length - 1)] ?? document.getElementById("add-box"))?.focus();
  }

  /** Changes the class of the box that has the focus; without it the class is meant for the next one. */
  reclass(which) {
    const focused = this.#elements.indexOf(document.activeElement);
    if (focused < 0) return;
    this.#image.boxes[focused].class = which;
    this.refresh();
    this.#hooks.onChange();
  }

  #point(event) {
    const frame = this.#layer.getBoundingClientRect();
    const { width, height } = this.#image;
    return [
      clamp(((event.clientX - frame.left) * width) / frame.width, width),
      clamp(((event.clientY - frame.top) * height) / frame.height, height),
    ];
  }

  /** A press on a corner resizes, on the selected box moves; elsewhere a drag draws and a click selects. */
  #press(event) {
    if (!this.#image || !event.isPrimary || event.button !== 0) return;
    event.preventDefault();
    const corner = event.target.dataset?.corner;
    const index = this.#elements.findIndex((box) => box.contains(event.target));
    const start = this.#point(event);
    let change;
    if (corner && index >= 0) change = this.#resizing(index, corner);
    else if (index >= 0 && index === this.#selected) change = this.#moving(index, start);
    else change = this.#drawing(index, start, event);
    const move = (next) => change.to(this.#point(next), next);
    const end = (last) => {
      this.#layer.removeEventListener("pointermove", move);
      this.#layer.removeEventListener("pointerup", end);
      this.#layer.removeEventListener("pointercancel", end);
      change.end?.(last.type === "pointercancel");
      this.#hooks.onChange();
    };
    this.#layer.setPointerCapture(event.pointerId);
    this.#layer.addEventListener("pointermove", move);
    this.#layer.addEventListener("pointerup", end);
    this.#layer.addEventListener("pointercancel", end);
  }

  #resizing(index, corner) {
    const [x0, y0, x1, y1] = this.#image.boxes[index].box;
    const fixed = [corner.includes("w") ? x1 : x0, corner.includes("n") ? y1 : y0];
    this.#elements[index].focus();
    return { to: (point) => this.#set(index, between(fixed, point)) };
  }

  #moving(index, start) {
    const { box } = this.#image.boxes[index];
    this.#elements[index].focus();
    return { to: ([x, y]) => this.#set(index, this.#moved(box, x - start[0], y - start[1])) };
  }

  #drawing(under, start, first) {
    let index = -1;
    return {
      to: (point, event) => {
        const far = Math.hypot(event.clientX - first.clientX, event.clientY - first.clientY) >= CLICK;
        if (index < 0 && far) index = this.#add(between(start, point));
        else if (index >= 0) this.#set(index, between(start, point));
      },
      end: (cancelled) => {
        if (index < 0) {
          if (under >= 0) this.#elements[under].focus();
          else this.#select(-1);
          return;
        }
        const [x0, y0, x1, y1] = this.#image.boxes[index].box;
        if (cancelled || x1 - x0 < LEAST || y1 - y0 < LEAST) this.remove(index);
        else this.#elements[index].focus();
      },
    };
  }

  #set(index, box) {
    this.#image.boxes[index].box = box;
    this.#place(this.#image.boxes[index], index);
  }

  #moved([x0, y0, x1, y1], dx, dy) {
    const { width, height } = this.#image;
    const x = Math.min(Math.max(dx, -x0), width - x1);
    const y = Math.min(Math.max(dy, -y0), height - y1);
    return [x0 + x, y0 + y, x1 + x, y1 + y];
  }

  #key(event) {
    const index = this.#elements.findIndex((box) => box === event.target);
    if (index < 0) return;
    const { width, height, boxes } = this.#image;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const stride = event.altKey ? 1 : Math.max(1, Math.round(Math.min(width, height) * STRIDE));
    if (event.key in arrows) {
      const [dx, dy] = arrows[event.key].map((way) => way * stride);
      const [x0, y0, x1, y1] = boxes[index].box;
      const resized = [x0, y0, clamp(Math.max(x1 + dx, x0 + LEAST), width), clamp(Math.max(y1 + dy, y0 + LEAST), height)];
      this.#set(index, event.shiftKey ? resized : this.#moved(boxes[index].box, dx, dy));
      this.#hooks.onChange();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.remove(index);
    } else if (event.key === "Escape") {
      this.#select(-1);
      event.target.blur();
    } else {
      return;
    }
    event.preventDefault();
  }
}

const clamp = (value, most) => Math.min(Math.max(value, 0), most);

const between = ([ax, ay], [bx, by]) => [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
