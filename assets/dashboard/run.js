// The live dashboard of one run: listens to its stream and shows what it says.

import { Chart, element, number } from "./chart.js";

const name = decodeURIComponent(location.pathname.split("/")[2]);
const api = `/api/runs/${encodeURIComponent(name)}`;
const $ = (id) => document.getElementById(id);
const show = (id, on) => { $(id).hidden = !on; };

const charts = {
  total: new Chart("Loss", { smooth: true, log: true }),
  terms: new Chart("Loss terms", { smooth: true, log: true }),
  map: new Chart("mAP", { zero: true }),
  class: new Chart("AP of each class", { zero: true }),
  rate: new Chart("Learning rate", { zero: true }),
  speed: new Chart("Speed", { unit: "images a second", zero: true, smooth: true }),
  gradient: new Chart("Gradient norm", { log: true, smooth: true }),
  complexity: new Chart("Image complexity s", { unit: "by the estimator, each epoch" }),
  psnr: new Chart("Reconstructions", { unit: "PSNR in dB" }),
};
const always = ["total", "map"];
for (const chart of Object.values(charts)) $("charts").append(chart.root);

let run = { status: {}, messages: [], files: [], curves: new Map(), now: 0, modified: 0 };
let heard = 0, drawing = false;

const keyOf = (c) => `${c.group}\n${c.name}`;

function whole(message) {
  run = { ...message, curves: new Map(message.curves.map((c) => [keyOf(c), c])) };
  came();
}

function more(message) {
  for (const c of message.curves) {
    const known = run.curves.get(keyOf(c));
    if (known) known.points.push(...c.points);
    else run.curves.set(keyOf(c), c);
  }
  const { curves, ...rest } = message;
  Object.assign(run, rest);
  came();
}

function came() {
  heard = performance.now();
  if (drawing) return;
  drawing = true;
  // Many messages may come at once after a pause; a hidden tab draws when it is looked at.
  requestAnimationFrame(() => { drawing = false; draw(); });
}

function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.round(seconds), two = (a, unit, b, small) => (b ? `${a} ${unit} ${b} ${small}` : `${a} ${unit}`);
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

function bytes(n) {
  return n < 1024 ? `${n} bytes` : n < 1 << 20 ? `${Math.round(n / 1024)} KB` : `${(n / (1 << 20)).toFixed(1)} MB`;
}

// Seconds since the log was written to, by the server's clock.
const idle = () => Math.max(0, run.now - run.modified + (performance.now() - heard) / 1000);

const STATES = {
  missing: () => ["there is no such run yet", "the page waits for it"],
  waiting: () => ["no step yet", "the page waits for the first"],
  finished: (s) => ["finished", s.seconds ? `in ${time(s.seconds)}` : ""],
  stopped: (s) => [s.stopped || "stopped", `go on with: autobidet train --resume RUN`],
  running: () => idle() < 90 ? ["training", ""] : ["quiet", `nothing new for ${time(idle())}: in a long evaluation, or ended without a word`],
};

function state() {
  const s = run.status, [word, since] = (STATES[s.state] ?? STATES.waiting)(s);
  if ($("state").textContent !== word) $("state").textContent = word;
  $("since").textContent = since;
  $("dot").className = `dot ${word === "quiet" ? "stopped" : s.state}`;
  const share = s.of ? s.step / s.of : 0;
  $("progress").value = Math.min(1, share);
  document.title = `${s.state === "running" ? `${Math.floor(100 * share)} % ` : ""}${name} – autobidet`;
}

function figures() {
  const s = run.status;
  const rows = [
    ["steps", s.of ? String(s.step) : "–", [s.of && `of ${s.of}`, s.epoch && `epoch ${s.epoch < 100 ? s.epoch.toFixed(1) : Math.round(s.epoch)}`].filter(Boolean).join(", ")],
    s.state === "running" ? ["time left", time(s.left), "about"] : ["time", s.seconds ? time(s.seconds) : "–", s.resumed ? `resumed ${s.resumed}×` : ""],
    ["mAP", s.map === null || s.map === undefined ? "–" : s.map.toFixed(3), s.metric?.split("@")[1] ? `at IoU ${s.metric.split("@")[1]}` : ""],
    ["best mAP", s.best ? s.best[1].toFixed(3) : "–", s.best ? `after step ${s.best[0]}` : ""],
    ["loss", s.loss > 0.001 && s.loss < 1000 ? s.loss.toPrecision(3) : number(s.loss), s.skipped ? `${s.skipped} steps skipped` : ""],
    ["images a second", number(s.speed), s.saved ? `saved after step ${s.saved}` : ""],
  ];
  $("figures").replaceChildren(...rows.map(([term, value, note]) =>
    element("div", {}, element("dt", {}, term), element("dd", {}, value), element("dd", {}, note))));
  $("about").textContent = [
    s.model, s.data && `trained on ${s.data.split(/[\\/]/).filter(Boolean).pop()}`, s.images && `${s.images} images, ${s.batch} a step`,
    s.parameters && `${number(s.parameters)} parameters`, s.device,
  ].filter(Boolean).join(" · ");
}

function curves() {
  const of = (group) => [...run.curves.values()].filter((c) => c.group === group);
  const loss = of("loss"), terms = loss.filter((c) => c.name !== "total" && c.points.some((p) => p[1]));
  const sets = {
    total: loss.filter((c) => c.name === "total"), terms: terms.length > 1 ? terms : [], map: of("map"),
    class: of("class").length > 12 ? [] : of("class"), rate: of("rate"), speed: of("speed"), gradient: of("gradient"),
    complexity: of("complexity"), psnr: of("psnr"),
  };
  for (const [key, chart] of Object.entries(charts)) {
    chart.root.hidden = !sets[key].length && !always.includes(key);
    if (!chart.root.hidden) chart.set(sets[key]);
  }
  classes(of("class"));
}

function classes(all) {
  show("classes", all.length > 0);
  const last = (c, back) => c.points[c.points.length - 1 - back]?.[1] ?? null;
  const rows = all.map((c) => [c.name, last(c, 0), last(c, 1)]).sort((a, b) => (b[1] ?? -1) - (a[1] ?? -1));
  $("class-rows").replaceChildren(...rows.map(([label, now, before]) => {
    const change = now === null || before === null ? null : now - before;
    const text = change === null ? "–" : `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(3)}`;
    return element("tr", {}, element("th", { scope: "row" }, label), element("td", { class: "n" }, now === null ? "–" : now.toFixed(3)),
      element("td", { class: "bar" }, element("progress", { max: 1, value: now ?? 0, "aria-label": `AP of ${label}` })),
      element("td", { class: `n ${change > 0 ? "good" : change < 0 ? "bad" : ""}` }, text));
  }));
}

function picture(id, file) {
  const found = run.files.find((f) => f.name === file);
  show(id, !!found);
  if (!found) return;
  const to = `${api}/files/${file}?v=${found.version}`, image = $(id).querySelector("img");
  if (image.getAttribute("src") === to) return;
  // Loaded before it is shown, so that the page does not jump.
  const next = new Image();
  next.onload = () => { image.src = to; image.width = next.naturalWidth; image.height = next.naturalHeight; };
  next.src = to;
  $(id).querySelector("a").href = to;
}

function texts() {
  const s = run.status, line = (m) => element("li", {}, m.count > 1 ? `${m.text} (${m.count}×)` : m.text);
  const warnings = run.messages.filter((m) => m.warning).map(line);
  if (s.unreadable) warnings.push(element("li", {}, `${s.unreadable} lines of log.jsonl are no training events and were passed over, the first of them line ${s.first_unreadable}: the file was altered, or the disk was full.`));
  $("warnings").replaceChildren(...warnings);
  const notes = run.messages.filter((m) => !m.warning);
  show("notes", notes.length > 0);
  $("note-rows").replaceChildren(...notes.map(line));
  const labels = { "report.html": "the report", "config.toml": "every setting", "evaluation.json": "the last evaluation" };
  const files = run.files.filter((f) => labels[f.name]);
  show("files", files.length > 0);
  $("file-rows").replaceChildren(...files.map((f) =>
    element("li", {}, element("a", { href: `${api}/files/${f.name}` }, f.name), ` ${labels[f.name]}, ${bytes(f.bytes)}`)));
  const evaluated = run.curves.get("map\nmAP")?.points.at(-1)?.[0];
  $("latest-about").textContent = `Some test images${evaluated === undefined ? "" : ` after step ${evaluated}`}: what was found with a score of 0.3 or more, over what is annotated (dashed).`;
}

function draw() {
  state(); figures(); curves(); texts();
  picture("latest", "latest.jpg");
  picture("reconstructions", "reconstructions.png");
}

function away(text) {
  show("away", !!text);
  if ($("away").textContent !== text) $("away").textContent = text;
}

function listen() {
  const stream = new EventSource(`${api}/events`);
  stream.addEventListener("history", (e) => { away(""); whole(JSON.parse(e.data)); });
  stream.addEventListener("more", (e) => more(JSON.parse(e.data)));
  stream.onerror = async () => {
    const closed = stream.readyState === EventSource.CLOSED;
    away("The server does not answer; what is shown is what it said last. The page tries again by itself.");
    if (!closed) return;
    // An answer other than a stream: EventSource gives up then, this page does not.
    stream.close();
    setTimeout(listen, 4000);
    const answer = await fetch(`${api}/events`, { headers: { Accept: "text/plain" }, signal: AbortSignal.timeout(3000) }).catch(() => null);
    if (answer && !answer.ok) away((await answer.text()).trim());
    else answer?.body?.cancel();
  };
}

$("name").textContent = name;
listen();
setInterval(() => { if (heard) state(); }, 5000);
