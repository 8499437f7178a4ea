// A chart of curves over steps, as SVG. It takes the width that it is given, and is read with the pointer or the arrow keys.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 50, RIGHT = 10, TOP = 8, BOTTOM = 22;

export function element(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "text", "circle", "g"].includes(name);
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Three digits, with a letter where there are many.
export function number(v) {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  const size = Math.abs(v);
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (size >= 10 * unit || (size >= unit && unit > 1e3)) return `${+(v / unit).toPrecision(3)} ${letter}`;
  if (size >= 1000) return String(Math.round(v));
  if (size > 0 && size < 1e-3) return v.toExponential(1).replace(".0e", "e");
  return String(+v.toPrecision(3));
}

function ticks(low, high, wanted) {
  const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((m) => m * power >= raw * 0.8) ?? 10);
  const out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) out.push(+(k * step).toPrecision(12));
  return out;
}

function powers(low, high) {
  const out = [];
  for (let k = Math.floor(low); k <= Math.ceil(high); k++)
    for (const m of high - low < 2 ? [1, 2, 5] : [1]) {
      const at = Math.log10(m * 10 ** k);
      if (at >= low - 1e-9 && at <= high + 1e-9) out.push(at);
    }
  return out.length > 7 ? out.filter((_, i) => i % Math.ceil(out.length / 7) === 0) : out;
}

// The mean of the points around each, fewer towards the ends: single steps are too noisy to compare.
function smoothed(points) {
  const known = points.filter((p) => p[1] !== null), reach = Math.ceil(known.length / 50), sums = [0];
  for (const p of known) sums.push(sums[sums.length - 1] + p[1]);
  return known.map(([x], i) => {
    const r = Math.min(reach, i, known.length - 1 - i);
    return [x, (sums[i + r + 1] - sums[i - r]) / (2 * r + 1)];
  });
}

export class Chart {
  // options: unit, low and high (fixed ends of the y axis), zero (include 0), smooth, log (where values span much)
  constructor(title, options = {}) {
    this.options = options;
    this.series = [];
    this.heading = element("h3", {}, title, element("span"));
    this.svg = element("svg", { role: "img", tabindex: "0", "aria-label": title });
    this.legend = element("ul", { class: "legend" });
    this.root = element("figure", { class: "chart" }, this.heading, this.svg, this.legend);
    this.title = title;
    this.at = null;
    this.svg.addEventListener("pointermove", (e) => this.point(e));
    this.svg.addEventListener("pointerdown", (e) => this.point(e));
    this.svg.addEventListener("pointerleave", () => this.move(null));
    this.svg.addEventListener("blur", () => this.move(null));
    this.svg.addEventListener("keydown", (e) => this.key(e));
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  set(series) {
    this.series = series;
    this.steps = [...new Set(series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
    this.draw();
  }

  draw() {
    const width = this.svg.clientWidth, height = this.svg.clientHeight;
    if (!width || !height) return;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const values = this.series.flatMap((s) => s.points.map((p) => p[1])).filter((v) => v !== null);
    if (!values.length) {
      this.svg.replaceChildren(element("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "nothing yet"));
      this.legend.replaceChildren();
      this.cursor = null;
      return;
    }
    let low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    const log = this.options.log && low > 0 && high / low > 30;
    const to = log ? Math.log10 : (v) => v;
    if (!log && this.options.zero) low = Math.min(low, 0);
    low = to(this.options.low ?? low);
    high = to(this.options.high ?? high);
    if (high - low < 1e-12) [low, high] = [low - Math.max(0.5 * Math.abs(low), 1e-6), high + Math.max(0.5 * Math.abs(high), 1e-6)];
    const first = this.steps[0], last = this.steps[this.steps.length - 1];
    const x = (step) => LEFT + (width - LEFT - RIGHT) * (last > first ? (step - first) / (last - first) : 0.5);
    const y = (v) => TOP + (height - TOP - BOTTOM) * (1 - (to(v) - low) / (high - low));
    this.scale = { x, y, width, height };
    this.heading.lastChild.textContent = [this.options.unit, log ? "log scale" : ""].filter(Boolean).map((t) => ` – ${t}`).join("");
    const parts = [];
    for (const t of log ? powers(low, high) : ticks(low, high, 5)) {
      const at = TOP + (height - TOP - BOTTOM) * (1 - (t - low) / (high - low));
      parts.push(element("path", { class: "grid", d: `M${LEFT} ${at}H${width - RIGHT}` }));
      parts.push(element("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, number(log ? 10 ** t : t)));
    }
    for (const t of last > first ? ticks(first, last, Math.min(6, width / 90)).filter(Number.isInteger) : [first])
      parts.push(element("text", { x: x(t), y: height - 5, "text-anchor": x(t) > width - 24 ? "end" : "middle" }, number(t)));
    parts.push(element("path", { class: "axis", d: `M${LEFT} ${height - BOTTOM}H${width - RIGHT}` }));
    const path = (points) => {
      let pen = "M";
      return points.map(([s, v]) => {
        const here = v === null ? "" : `${pen}${x(s).toFixed(1)} ${y(v).toFixed(1)}`;
        pen = v === null ? "M" : "L";
        return here;
      }).join("");
    };
    this.series.forEach((s, i) => {
      const look = `c${i % 8}${i >= 8 ? " dash" : ""}`;
      const smooth = this.options.smooth && s.points.length > 40;
      parts.push(element("path", { class: `line ${look}${smooth ? " faint" : ""}`, d: path(s.points) }));
      if (smooth) parts.push(element("path", { class: `line ${look}`, d: path(smoothed(s.points)) }));
      if (s.points.length <= 30)
        for (const [step, v] of s.points) if (v !== null) parts.push(element("circle", { class: `p${i % 8}`, cx: x(step), cy: y(v), r: 2.5 }));
    });
    this.cursor = element("g");
    parts.push(this.cursor);
    this.svg.replaceChildren(...parts);
    this.read();
  }

  point(event) {
    if (!this.scale || !this.steps?.length) return;
    const at = event.clientX - this.svg.getBoundingClientRect().left;
    let best = 0;
    this.steps.forEach((s, i) => {
      if (Math.abs(this.scale.x(s) - at) < Math.abs(this.scale.x(this.steps[best]) - at)) best = i;
    });
    this.move(this.steps[best]);
  }

  key(event) {
    if (!this.steps?.length) return;
    const end = this.steps.length - 1, at = this.at === null ? end : this.steps.findIndex((s) => s >= this.at);
    const far = Math.max(1, Math.round(end / 20));
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - far, PageDown: at + far, Home: 0, End: end }[event.key];
    if (event.key === "Escape") return this.move(null);
    if (to === undefined) return;
    event.preventDefault();
    this.move(this.steps[Math.min(end, Math.max(0, to))]);
  }

  move(step) {
    if (this.at === step) return;
    this.at = step;
    this.read();
  }

  // The legend has the values at the cursor, else the last ones.
  read() {
    if (!this.cursor) return;
    const { x, y, height } = this.scale, marks = [], texts = [];
    if (this.at !== null) marks.push(element("path", { class: "cursor", d: `M${x(this.at)} ${TOP}V${height - BOTTOM}` }));
    const rows = this.series.map((s, i) => {
      const at = this.at === null ? s.points.length - 1 : s.points.findLastIndex((p) => p[0] <= this.at);
      const [step, value] = s.points[at] ?? [null, null];
      if (this.at !== null && value !== null) marks.push(element("circle", { class: `p${i % 8}`, cx: x(step), cy: y(value), r: 4 }));
      texts.push(`${s.name} ${number(value)}`);
      const key = element("svg", { viewBox: "0 0 18 8", "aria-hidden": "true" }, element("path", { class: `line c${i % 8}${i >= 8 ? " dash" : ""}`, d: "M1 4H17" }));
      return element("li", {}, key, `${s.name} `, element("b", {}, number(value)));
    });
    if (this.at !== null) rows.unshift(element("li", {}, `step ${this.at}`));
    this.legend.replaceChildren(...rows);
    this.cursor.replaceChildren(...marks);
    const where = this.at ?? this.steps[this.steps.length - 1];
    this.svg.setAttribute("aria-label", `${this.title}, step ${where}: ${texts.join(", ")}`);
  }
}
