// The curve of the losses while a detector learns.
import { el, short } from "./dom.js";

/** Name in the engine's events, words for people, custom property of the colour. */
const LINES = [
  ["total", "together", "--line-total"],
  ["conf", "classes", "--line-conf"],
  ["loc", "places", "--line-loc"],
  ["ib", "bottleneck", "--line-ib"],
  ["sop", "prior", "--line-sop"],
];

/** How much of the mean each new value is. */
const SMOOTH = 0.12;

/** Losses on a canvas, with a legend that has the newest values. */
export class LossChart {
  #canvas;
  #legend = new Map();
  #raw = [];
  #means = new Map();
  #steps = 1;
  #asked = false;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} legend a list
   */
  constructor(canvas, legend) {
    this.#canvas = canvas;
    for (const [name, words, property] of LINES) {
      const value = el("span", { class: "figure" });
      const key = el("span", { class: "key", "aria-hidden": "true" });
      key.style.background = `var(${property})`;
      const item = el("li", { hidden: true }, key, `${words} `, value);
      legend.append(item);
      this.#legend.set(name, { item, value });
    }
    new ResizeObserver(() => this.#ask()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#ask());
    this.clear(1);
  }

  /** @param {number} steps that the whole run will have */
  clear(steps) {
    this.#steps = steps;
    this.#raw = [];
    this.#means = new Map(LINES.map(([name]) => [name, []]));
    for (const { item } of this.#legend.values()) item.hidden = true;
    this.#canvas.setAttribute("aria-label", "Loss: nothing yet");
    this.#ask();
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
    this.#ask();
  }

  /** One drawing a frame of the screen at most. */
  #ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  #draw() {
    this.#tell();
    const unit = devicePixelRatio || 1;
    const width = this.#canvas.clientWidth;
    const height = this.#canvas.clientHeight;
    if (!width) return;
    this.#canvas.width = Math.round(width * unit);
    this.#canvas.height = Math.round(height * unit);
    const context = this.#canvas.getContext("2d");
    context.scale(unit, unit);
    const style = getComputedStyle(this.#canvas);
    const top = this.#top();
    const area = { left: 40, right: width - 8, top: 8, bottom: height - 22 };
    const x = (step) => area.left + ((area.right - area.left) * step) / this.#steps;
    const y = (loss) => area.bottom - (area.bottom - area.top) * Math.min(1.02, loss / top);
    drawAxes(context, style, area, { x, y, top, steps: this.#steps });

    const line = (points, colour, thick) => {
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.lineJoin = "round";
      context.beginPath();
      for (const [step, value] of thinned(points, width)) context.lineTo(x(step), y(value));
      context.stroke();
    };
    context.globalAlpha = 0.3;
    line(this.#raw, style.getPropertyValue("--line-total"), 1);
    context.globalAlpha = 1;
    for (const [name, , property] of [...LINES].reverse()) {
      if (this.#used(name)) line(this.#means.get(name), style.getPropertyValue(property), name === "total" ? 2.5 : 1.5);
    }
  }

  /** A part that is always 0 belongs to a method that is not used. */
  #used(name) {
    return this.#means.get(name).some(([, value]) => value !== 0);
  }

  #top() {
    const most = Math.max(0, ...thinned(this.#means.get("total"), 500).map(([, value]) => value));
    return niceAbove(most || 1);
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
    this.#canvas.setAttribute("aria-label", `Loss after ${last[0]} of ${this.#steps} steps: ${short(last[1])}; at first ${short(first[1])}`);
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

function drawAxes(context, style, area, { x, y, top, steps }) {
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = style.getPropertyValue("--soft");
  context.strokeStyle = style.getPropertyValue("--rule");
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let tick = 0; tick <= 4; tick++) {
    const value = (top * tick) / 4;
    const at = Math.round(y(value)) + 0.5;
    context.beginPath();
    context.moveTo(area.left, at);
    context.lineTo(area.right, at);
    context.stroke();
    context.fillText(short(value), area.left - 6, at);
  }
  context.textBaseline = "top";
  for (const part of [0, 0.5, 1]) {
    context.textAlign = part === 0 ? "left" : part === 1 ? "right" : "center";
    context.fillText(`${part === 0 ? "step " : ""}${Math.round(steps * part)}`, x(steps * part), area.bottom + 6);
  }
}
