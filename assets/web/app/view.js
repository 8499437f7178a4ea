// Boxes with names and scores: over the picture, in the saved picture, and as a table.
import { el } from "./dom.js";

/** Bright enough for dark letters, and far enough from each other. */
const COLOURS = [
  "#ffb92e", "#55c8f2", "#ff8080", "#7ddc93", "#cfa0f5", "#f9a3c7", "#e6dc55", "#86b3ff", "#ffa978", "#63e0cd",
];

/** @param {number} index of a class */
export const colour = (index) => COLOURS[((index % COLOURS.length) + COLOURS.length) % COLOURS.length];

/**
 * Draws boxes on a canvas whose pixels are `scale` times those of the picture.
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
 * @param {{label: string, class: number, score?: number, box: number[]}[]} boxes best first
 * @param {{scale: number, unit: number, marked?: object, dashed?: boolean}} how
 *   `unit`: what one CSS pixel is on this canvas; `marked`: the box to bring forward; `dashed`: without names, for the truth
 */
export function drawBoxes(context, boxes, { scale, unit, marked, dashed = false }) {
  context.lineJoin = "round";
  context.setLineDash(dashed ? [4 * unit, 4 * unit] : []);
  // The best last, so that it is on top.
  for (const found of [...boxes].reverse()) {
    context.globalAlpha = marked && marked !== found ? 0.25 : 1;
    const [x0, y0, x1, y1] = found.box.map((value) => value * scale);
    const ink = dashed ? "#fff" : colour(found.class);
    context.lineWidth = (dashed ? 3 : 4.5) * unit;
    context.strokeStyle = "rgb(0 0 0 / .55)";
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    context.lineWidth = (dashed ? 1.5 : 2.5) * unit;
    context.strokeStyle = ink;
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    if (!dashed) drawName(context, found, x0, y0, unit);
  }
  context.globalAlpha = 1;
  context.setLineDash([]);
}

function drawName(context, found, x0, y0, unit) {
  const text = found.score === undefined ? found.label : `${found.label} ${found.score.toFixed(2)}`;
  context.font = `600 ${13 * unit}px system-ui, "Segoe UI", Roboto, sans-serif`;
  context.textBaseline = "middle";
  const width = context.measureText(text).width + 10 * unit;
  const height = 19 * unit;
  // Above the box where there is room, and never outside of the picture.
  const left = Math.max(0, Math.min(x0 - 1.25 * unit, context.canvas.width - width));
  const top = y0 - height >= 0 ? y0 - height : Math.max(0, Math.min(y0, context.canvas.height - height));
  context.fillStyle = colour(found.class);
  context.beginPath();
  context.roundRect(left, top, width, height, 3 * unit);
  context.fill();
  context.fillStyle = "#10191c";
  context.fillText(text, left + 5 * unit, top + height / 2 + unit * 0.5);
}

/** The canvas over a picture. It follows the picture's size on the screen. */
export class Overlay {
  #canvas;
  #draw = () => {};

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#paint()).observe(canvas);
  }

  /**
   * @param {(context: CanvasRenderingContext2D, unit: number, width: number, height: number) => void} draw on a clean canvas;
   *   called again when the size changes
   */
  show(draw) {
    this.#draw = draw;
    this.#paint();
  }

  #paint() {
    const unit = globalThis.devicePixelRatio || 1;
    const width = Math.round(this.#canvas.clientWidth * unit);
    const height = Math.round(this.#canvas.clientHeight * unit);
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (width && height) this.#draw(context, unit, width, height);
  }
}

/** The table of what was found. Rows are kept and refilled, for a webcam fills them many times a second. */
export class FoundTable {
  #body;
  #rows = [];

  /**
   * @param {HTMLTableElement} table
   * @param {(found: object | undefined) => void} onPoint told which row the pointer is on
   */
  constructor(table, onPoint) {
    this.#body = table.tBodies[0];
    this.#body.addEventListener("pointerover", (event) => {
      const row = this.#rows.find(({ row: { hidden }, row }) => !hidden && row.contains(event.target));
      onPoint(row?.found);
    });
    this.#body.addEventListener("pointerleave", () => onPoint(undefined));
  }

  /** @param {import("../autobidet.js").Detection[]} boxes */
  show(boxes) {
    while (this.#rows.length < boxes.length) this.#rows.push(this.#newRow());
    this.#rows.forEach((entry, index) => {
      const found = boxes[index];
      entry.found = found;
      entry.row.hidden = !found;
      if (!found) return;
      const [x0, y0, x1, y1] = found.box.map(Math.round);
      entry.key.style.background = colour(found.class);
      entry.name.textContent = found.label;
      entry.score.textContent = found.score.toFixed(2);
      entry.place.textContent = `${x0}, ${y0}`;
      entry.size.textContent = `${x1 - x0} × ${y1 - y0}`;
    });
  }

  #newRow() {
    const key = el("span", { class: "key", "aria-hidden": "true" });
    const name = el("span", {});
    const score = el("td", { class: "n" });
    const place = el("td", { class: "n" });
    const size = el("td", { class: "n" });
    const row = el("tr", {}, el("th", { scope: "row" }, key, name), score, place, size);
    this.#body.append(row);
    return { row, key, name, score, place, size };
  }
}
