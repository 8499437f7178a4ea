// The curve of the losses while a detector learns. SVG, for the reason that view.js tells.
import { el, short, svg } from "./dom.js";

/** Name in the engine's events and in app.css, and words for people. */
const LINES = [
  ["total", "together"],
  ["conf", "classes"],
  ["loc", "places"],
  ["ib", "bottleneck"],
  ["sop", "prior"],
];

/** How much of the mean each new value is. */
const SMOOTH = 0.12;

/** The least time between two drawings, in milliseconds: steps may be faster than anybody sees. */
const PAUSE = 150;

/** Losses as lines, with a legend that has the newest values. */
export class LossChart {
  #root;
  #axes = svg("g");
  #lines = new Map();
  #legend = new Map();
  #raw = [];
  #means = new Map();
  #steps = 1;
  #timer;

  /**
   * @param {SVGSVGElement} root
   * @param {HTMLElement} legend a list
   */
  constructor(root, legend) {
    this.#root = root;
    for (const [name, words] of LINES) {
      const value = el("span", { class: "figure" });
      const key = el("span", { class: "key", "aria-hidden": "true" });
      key.style.background = `var(--line-${name})`;
      const item = el("li", { hidden: true }, key, `${words} `, value);
      legend.append(item);
      this.#legend.set(name, { item, value });
    }
    // The whole on top of its parts.
    for (const name of ["raw", "sop", "ib", "loc", "conf", "total"]) this.#lines.set(name, svg("polyline", { class: name }));
    root.append(this.#axes, ...this.#lines.values());
    new ResizeObserver(() => this.#draw()).observe(root);
    this.clear(100);
  }

  /** @param {number} steps that the whole run will have */
  clear(steps) {
    this.#steps = steps;
    this.#raw = [];
    this.#means = new Map(LINES.map(([name]) => [name, []]));
    this.#root.setAttribute("aria-label", "Loss: nothing yet");
    this.#draw();
  }

  /** @param {import("../autobidet.js").TrainEvent} event */
  add({ step, steps, losses }) {
    this.#steps = steps;
    if (losses.total !== null) this.#raw.push([step, losses.total]);
    for (const [name, values] of this.#means) {
      const last = values.at(-1)?.[1];
      const value = losses[name];
      // What is not a number (null) stays out of the mean, which it would never leave again.
      if (typeof value !== "number") continue;
      values.push([step, last === undefined ? value : last + SMOOTH * (value - last)]);
    }
    this.#timer ??= setTimeout(() => this.#draw(), PAUSE);
  }

  #draw() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#tell();
    const { clientWidth: width, clientHeight: height } = this.#root;
    if (!width || !height) return;
    this.#root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const top = niceAbove(this.#means.get("total").reduce((most, [, value]) => Math.max(most, value), 0) || 1);
    const area = { left: 42, right: width - 8, top: 8, bottom: height - 24 };
    const x = (step) => area.left + ((area.right - area.left) * step) / this.#steps;
    const y = (loss) => area.bottom - (area.bottom - area.top) * Math.min(1.02, loss / top);
    this.#axes.replaceChildren(...axes(area, { x, y, top, steps: this.#steps }));
    for (const [name, line] of this.#lines) {
      const points = name === "raw" ? this.#raw : this.#used(name) ? this.#means.get(name) : [];
      const text = thinned(points, width).map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
      line.setAttribute("points", text.join(" "));
    }
  }

  /** A part that is always 0 belongs to a method that is not used, or does not count yet. */
  #used(name) {
    return this.#means.get(name).some(([, value]) => value !== 0);
  }

  #tell() {
    for (const [name, { item, value }] of this.#legend) {
      const last = this.#means.get(name).at(-1);
      item.hidden = !last || !this.#used(name);
      if (last) value.textContent = short(Number(last[1].toPrecision(3)));
    }
    const first = this.#means.get("total")[0];
    const last = this.#means.get("total").at(-1);
    if (!last) return;
    this.#root.setAttribute("aria-label", `Loss after ${last[0]} of ${this.#steps} steps: ${short(last[1])}; at first ${short(first[1])}`);
  }
}

/** At most `most` points, the last one among them. */
function thinned(points, most) {
  const every = Math.ceil(points.length / most);
  return every < 2 ? points : points.filter((_, index) => index % every === 0 || index === points.length - 1);
}

/** The next number that divides into four well. */
function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.6, 2, 3, 4, 6, 8, 10].map((factor) => factor * power).find((nice) => nice >= value) ?? value;
}

function axes(area, { x, y, top, steps }) {
  const label = (text, at, anchor) => {
    const node = svg("text", { ...at, "text-anchor": anchor });
    node.textContent = text;
    return node;
  };
  const losses = [0, 1, 2, 3, 4].flatMap((tick) => {
    const value = (top * tick) / 4;
    const at = Math.round(y(value)) + 0.5;
    return [svg("path", { d: `M${area.left} ${at}H${area.right}` }), label(short(value), { x: area.left - 6, y: at + 4 }, "end")];
  });
  const [first, middle, last] = [0, 0.5, 1].map((part) => Math.round(steps * part));
  return [
    ...losses,
    label(`step ${first}`, { x: x(first), y: area.bottom + 18 }, "start"),
    label(String(middle), { x: x(middle), y: area.bottom + 18 }, "middle"),
    label(String(last), { x: x(last), y: area.bottom + 18 }, "end"),
  ];
}
