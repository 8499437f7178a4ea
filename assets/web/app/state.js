// What the page says while it loads and when something is wrong.
import { el, size } from "./dom.js";

const STAGES = [
  ["engine", "Engine"],
  ["device", "Device"],
  ["download", "Model"],
  ["network", "Network"],
];

/** The last stage is the longest where shaders are compiled for a processor. */
const COMPILING = "compiling shaders";

/** The strip that shows how far loading is. */
export class Loading {
  #root;
  #rows = new Map();
  #bar = el("progress", { max: 1, "aria-label": "Model download" });

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    const list = el("ol", {});
    for (const [stage, title] of STAGES) {
      const note = el("span", { class: "soft" });
      const row = el("li", { "data-state": "waiting" }, el("span", {}, title), note);
      this.#rows.set(stage, { row, note });
      list.append(row);
    }
    root.append(list, this.#bar);
  }

  /** @param {{stage: string, done?: number, total?: number}} progress */
  show({ stage, done, total }) {
    if (this.#root.hidden) this.#reset();
    this.#root.hidden = false;
    if (stage === "download") {
      const { row, note } = this.#rows.get("download");
      note.textContent = total ? `${size(done)} of ${size(total)}` : size(done);
      row.dataset.state = done === total ? "done" : "busy";
      if (total) this.#bar.value = done / total;
      return;
    }
    this.#set(stage, "busy");
    if (stage === "network") {
      this.#rows.get(stage).note.textContent = COMPILING;
      this.#bar.classList.add("busy");
    }
    // The download runs beside the first two, so each tells only of what must be over before it.
    if (stage === "device") this.#set("engine", "done");
    if (stage === "network") for (const before of ["engine", "device", "download"]) this.#set(before, "done");
  }

  #set(stage, state) {
    const { row } = this.#rows.get(stage);
    row.dataset.state = state;
    if (state === "busy") row.setAttribute("aria-current", "step");
    else row.removeAttribute("aria-current");
  }

  #reset() {
    for (const stage of this.#rows.keys()) this.#set(stage, "waiting");
    for (const { note } of this.#rows.values()) note.textContent = "";
    this.#bar.classList.remove("busy");
    this.#bar.value = 0;
  }

  hide() {
    this.#root.hidden = true;
  }
}

/**
 * Fills the panel that stands in for the picture when nothing can be detected.
 * @param {HTMLElement} root
 * @param {{title: string, text: string, remedy?: string, actions?: HTMLElement[]}} problem
 */
export function showProblem(root, { title, text, remedy, actions = [] }) {
  root.replaceChildren(
    el("h2", {}, title),
    el("p", {}, text),
    ...(remedy ? [el("p", {}, remedy)] : []),
    ...(actions.length ? [el("div", { class: "bar" }, ...actions)] : []),
  );
  root.hidden = false;
}

/**
 * Says in a line what went wrong, while everything else goes on.
 * @param {HTMLElement} root
 * @param {string} text nothing takes the line away
 */
export function showNotice(root, text) {
  root.hidden = !text;
  root.classList.add("bad");
  root.replaceChildren();
  if (!text) return;
  const close = el("button", { type: "button", class: "quiet", onclick: () => showNotice(root, "") }, "Dismiss");
  root.append(el("p", { role: "alert" }, text), close);
}
