// Boxes with names and scores: over the picture, in the saved picture, and as a table.
//
// What is drawn on the screen is SVG, not a canvas: browsers rasterise it off the main thread, which would otherwise wait for
// a GPU that is busy with the engine.
import { el, svg } from "./dom.js";

/** Bright enough for dark letters, and far enough from each other. */
const COLOURS = [
  "#ffb92e", "#55c8f2", "#ff8080", "#7ddc93", "#cfa0f5", "#f9a3c7", "#e6dc55", "#86b3ff", "#ffa978", "#63e0cd",
];

const FONT = "system-ui, 'Segoe UI', Roboto, sans-serif";

/** @param {number} index of a class */
export const colour = (index) => COLOURS[((index % COLOURS.length) + COLOURS.length) % COLOURS.length];

/**
 * Boxes as elements of SVG.
 * @param {{label: string, class: number, score?: number, box: number[]}[]} boxes best first
 * @param {{scale: number, unit?: number, width: number, height: number, marked?: object, dashed?: boolean}} how
 *   `scale`: from the picture's pixels to the drawing's; `unit`: what one CSS pixel is in the drawing; `marked`: the box to bring
 *   forward; `dashed`: without names, for the truth
 * @returns {SVGElement[]}
 */
export function boxElements(boxes, { scale, unit = 1, width, height, marked, dashed = false }) {
  // The best last, so that it is on top.
  return [...boxes].reverse().map((found) => {
    const [x, y, x1, y1] = found.box.map((value) => value * scale);
    const frame = (stroke, thickness) =>
      svg("rect", {
        x, y, width: Math.max(0, x1 - x), height: Math.max(0, y1 - y), fill: "none", stroke,
        "stroke-width": thickness * unit, "stroke-linejoin": "round", "stroke-dasharray": dashed ? `${4 * unit} ${4 * unit}` : "none",
      });
    const group = svg("g", { opacity: marked && marked !== found ? 0.25 : 1 });
    group.append(frame("rgba(0,0,0,.55)", dashed ? 3 : 4.5), frame(dashed ? "#fff" : colour(found.class), dashed ? 1.5 : 2.5));
    if (!dashed) group.append(...nameElements(found, x, y, { unit, width, height }));
    return group;
  });
}

function nameElements(found, x, y, { unit, width, height }) {
  const text = found.score === undefined ? found.label : `${found.label} ${found.score.toFixed(2)}`;
  const wide = (measured(text) + 10) * unit;
  const high = 19 * unit;
  // Above the box where there is room, and never outside of the picture.
  const left = Math.max(0, Math.min(x - 1.25 * unit, width - wide));
  const top = y - high >= 0 ? y - high : Math.max(0, Math.min(y, height - high));
  const plate = svg("rect", { x: left, y: top, width: wide, height: high, rx: 3 * unit, fill: colour(found.class) });
  const name = svg("text", {
    x: left + 5 * unit, y: top + 13.8 * unit, fill: "#10191c", "font-family": FONT, "font-size": 13 * unit, "font-weight": 600,
  });
  name.textContent = text;
  return [plate, name];
}

const widths = new Map();
let ruler;

/** The width of a name in CSS pixels. A canvas measures without being drawn on. */
function measured(text) {
  if (!widths.has(text)) {
    ruler ??= new OffscreenCanvas(1, 1).getContext("2d");
    ruler.font = `600 13px ${FONT}`;
    // Scores make many texts.
    if (widths.size > 2000) widths.clear();
    widths.set(text, ruler.measureText(text).width);
  }
  return widths.get(text);
}

/** The drawing over a picture. It follows the picture's size on the screen. */
export class Overlay {
  #root;
  #draw = () => [];

  /** @param {SVGSVGElement} root */
  constructor(root) {
    this.#root = root;
    new ResizeObserver(() => this.#paint()).observe(root);
  }

  /**
   * @param {(width: number, height: number) => SVGElement[]} draw for a size in CSS pixels; called again when it changes
   */
  show(draw) {
    this.#draw = draw;
    this.#paint();
  }

  #paint() {
    const { clientWidth: width, clientHeight: height } = this.#root;
    if (!width || !height) return;
    this.#root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#root.replaceChildren(...this.#draw(width, height));
  }
}

/**
 * A picture with boxes on it, as a file.
 * @param {CanvasImageSource} source
 * @param {{width: number, height: number}} size of the file
 * @param {SVGElement[]} elements
 * @returns {Promise<Blob>} a PNG
 */
export async function drawnPicture(source, { width, height }, elements) {
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  root.append(...elements);
  const drawing = new Image();
  drawing.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(root))}`;
  await drawing.decode();
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, width, height);
  context.drawImage(drawing, 0, 0, width, height);
  return canvas.convertToBlob({ type: "image/png" });
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
