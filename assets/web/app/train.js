// The second view: a detector learns in a worker of its own, and is kept or used.
import { Trainer } from "../autobidet.js";
import { Annotator } from "./annotate.js";
import { LossChart } from "./chart.js";
import { byId, count, download, duration, el, short } from "./dom.js";
import { showNotice } from "./state.js";
import { boxElements, Overlay } from "./view.js";

/** The least time between two looks at what it finds, and the share of the time that they may take. */
const LOOK = 2000;
const SHARE = 1 / 6;

/** Own images are learned from with at most so many pixels on the long side. */
const ENOUGH = 640;

/** Boxes with less are noise: the same bound as a deploy file's; and no more than that are drawn. */
const WORTH = 0.3;
const MOST = 20;

const STAGES = { engine: "Loading the engine…", device: "Opening the device…", network: "Preparing the network…" };

/**
 * Connects the view with the id view-train.
 * @param {import("./model.js").Model} model that the result can be used in
 */
export function start(model) {
  return new TrainView(model);
}

class TrainView {
  #model;
  #annotator = new Annotator((text) => this.#notice(text));
  #chart = new LossChart(byId("chart"), byId("legend"));
  #overlay = new Overlay(byId("preview-overlay"));
  /** @type {Trainer | undefined} */
  #trainer;
  #abort;
  #last;
  /** How many steps changed nothing. */
  #skipped = 0;
  /** There is something that leaving the page would lose. */
  #unsaved = false;

  constructor(model) {
    this.#model = model;
    for (const radio of document.querySelectorAll("input[name=source]")) {
      radio.addEventListener("change", () => {
        byId("annotate").hidden = this.#source() !== "images";
      });
    }
    byId("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    // A field that cannot be seen cannot tell what is wrong with it.
    byId("settings").addEventListener("invalid", () => (document.querySelector("#settings details").open = true), true);
    byId("stop").addEventListener("click", () => this.#stop());
    byId("continue").addEventListener("click", () => this.#run());
    byId("use").addEventListener("click", () => this.#keep(byId("use"), (bytes) => this.#use(bytes)));
    byId("save-model").addEventListener("click", () => this.#keep(byId("save-model"), (bytes) => this.#save(bytes)));
    window.addEventListener("beforeunload", (event) => {
      if (this.#unsaved || this.#abort || this.#annotator.boxes) event.preventDefault();
    });
  }

  #source() {
    return document.querySelector("input[name=source]:checked").value;
  }

  #notice(text) {
    showNotice(byId("train-notice"), text);
  }

  #say(text) {
    byId("train-status").textContent = text;
  }

  #config() {
    const number = (id) => (byId(id).value === "" ? undefined : Number(byId(id).value));
    const config = { source: this.#source(), steps: number("steps"), batch: number("batch"), lr: number("lr"), seed: number("seed"), method: byId("method").value };
    if (config.source === "images") config.classes = [...this.#annotator.classes];
    return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
  }

  async #begin() {
    this.#notice("");
    if (this.#source() === "images" && !this.#annotator.boxes) {
      this.#notice("There is nothing to learn yet: add images and draw boxes around what is to be found.");
      return;
    }
    this.#trainer?.close();
    this.#trainer = undefined;
    this.#last = undefined;
    this.#skipped = 0;
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const config = this.#config();
    this.#chart.clear(config.steps);
    this.#phase("starting");
    try {
      const trainer = await Trainer.create(config, { signal, onProgress: ({ stage }) => STAGES[stage] && this.#facts([["State", STAGES[stage]]]) });
      this.#trainer = trainer;
      trainer.lost.then((reason) => this.#lost(trainer, reason));
      if (config.source === "images") await this.#give(trainer, signal);
    } catch (error) {
      this.#trainer?.close();
      this.#trainer = undefined;
      this.#abort = undefined;
      this.#phase("idle");
      if (!signal.aborted) this.#notice(error.message);
      return;
    }
    this.#run();
  }

  async #give(trainer, signal) {
    // Images without boxes teach what is not there.
    const { images } = this.#annotator;
    for (const [index, image] of images.entries()) {
      signal.throwIfAborted();
      this.#facts([["State", `Image ${index + 1} of ${images.length}…`]]);
      await addReduced(trainer, image);
    }
  }

  async #run() {
    const trainer = this.#trainer;
    if (!this.#abort || this.#abort.signal.aborted) this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#notice("");
    this.#phase("running");
    this.#say("Training has begun.");
    let looked = -Infinity;
    let pause = LOOK;
    try {
      for await (const event of trainer.run({ signal })) {
        this.#last = event;
        this.#skipped += event.skipped ? 1 : 0;
        this.#unsaved = true;
        this.#chart.add(event);
        this.#step(event);
        if (performance.now() - looked > pause) {
          const begun = performance.now();
          await this.#look(trainer);
          looked = performance.now();
          pause = Math.max(LOOK, (looked - begun) / SHARE);
        }
      }
      await this.#look(trainer);
    } catch (error) {
      if (this.#trainer === trainer) this.#notice(error.message);
    }
    if (this.#trainer !== trainer) return;
    this.#abort = undefined;
    this.#phase(this.#last?.step >= this.#last?.steps ? "done" : "stopped");
    if (this.#last) this.#say(`${signal.aborted ? "Stopped" : "Finished"} after ${count(this.#last.step, "step")}, loss ${shortLoss(this.#last.losses)}.`);
  }

  #stop() {
    this.#abort?.abort();
    byId("stop").disabled = true;
  }

  #lost(trainer, reason) {
    if (this.#trainer !== trainer) return;
    this.#trainer = undefined;
    this.#abort = undefined;
    this.#unsaved = false;
    this.#phase("idle");
    this.#notice(`Training ended, and what was learned is gone. ${reason}`);
  }

  #phase(phase) {
    const busy = phase === "starting" || phase === "running";
    byId("start").hidden = busy;
    byId("start").textContent = phase === "idle" || busy ? "Start" : "Start anew";
    byId("start").classList.toggle("primary", phase !== "stopped");
    byId("stop").hidden = !busy;
    byId("stop").disabled = false;
    byId("continue").hidden = phase !== "stopped" || !this.#trainer;
    byId("running").hidden = phase === "idle";
    byId("keep").hidden = !((phase === "stopped" || phase === "done") && this.#trainer && this.#last);
    if (phase === "starting") {
      byId("train-progress").removeAttribute("value");
      byId("preview-card").hidden = true;
      this.#facts([["State", "Starting…"]]);
    }
    for (const field of byId("settings").querySelectorAll("input, select")) field.disabled = busy;
    for (const field of document.querySelectorAll("#annotate button, #annotate input, input[name=source]")) field.disabled = busy;
    byId("layer").inert = busy;
    // The focus must not fall away with the button that had it.
    if (document.activeElement === document.body || document.activeElement?.hidden) {
      [byId("stop"), byId("continue"), byId("start")].find((button) => !button.hidden)?.focus({ preventScroll: true });
    }
  }

  #step({ step, steps, losses, images_per_second: rate, lr }) {
    byId("train-progress").value = step / steps;
    const left = ((steps - step) * this.#trainer.config.batch) / rate;
    this.#facts([
      ["Step", `${step} of ${steps}`],
      ["Loss", shortLoss(losses)],
      ["Speed", `${short(Number(rate.toPrecision(3)))} images/s`],
      ...(step < steps ? [["Left", duration(left)]] : []),
      ["Learning rate", short(lr)],
      ...(this.#skipped ? [["Skipped", count(this.#skipped, "step")]] : []),
    ]);
  }

  #facts(facts) {
    byId("train-facts").replaceChildren(...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", { class: "figure" }, String(value))]));
  }

  async #look(trainer) {
    const { image, width, height, truth, boxes: all } = await trainer.preview();
    // A network that has hardly begun finds hundreds of things everywhere.
    const boxes = all.filter(({ score }) => score >= WORTH).slice(0, MOST);
    byId("preview-card").hidden = false;
    byId("preview-frame").style.setProperty("--w", width);
    byId("preview-frame").style.setProperty("--h", height);
    const canvas = byId("preview-picture");
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
    this.#overlay.show((shown, high) => {
      const how = { scale: shown / width, width: shown, height: high };
      return [...boxElements(truth, { ...how, dashed: true }), ...boxElements(boxes, how)];
    });
    const found = boxes.slice(0, 8).map(({ label, score }) => `${label} ${score.toFixed(2)}`).join(", ") || `nothing with a score of ${WORTH} yet`;
    byId("preview-text").textContent = `Found: ${found}. Dashed: what is there, ${truth.map(({ label }) => label).join(", ") || "nothing"}.`;
  }

  /** Exports, with the button saying so. */
  async #keep(button, then) {
    const before = button.textContent;
    this.#notice("");
    button.disabled = true;
    button.textContent = "Making the file…";
    try {
      await then(await this.#trainer.export(byId("precision").value));
      this.#unsaved = false;
    } catch (error) {
      this.#notice(`The deploy file could not be made: ${error.message}`);
    }
    button.textContent = before;
    button.disabled = false;
  }

  #save(bytes) {
    const name = `trained-${this.#last.step}-steps.safetensors`;
    download(new Blob([bytes], { type: "application/octet-stream" }), name);
    this.#say(`Saved as ${name}.`);
  }

  #use(bytes) {
    location.hash = "#detect";
    return this.#model.load(bytes);
  }
}

/** The network sees less still, and the engine keeps all images in memory. */
async function addReduced(trainer, { blob, width, height, boxes }) {
  const scale = Math.min(1, ENOUGH / Math.max(width, height));
  const resizeWidth = Math.max(1, Math.round(width * scale));
  const resizeHeight = Math.max(1, Math.round(height * scale));
  const options = { colorSpaceConversion: "none", imageOrientation: "from-image", resizeWidth, resizeHeight, resizeQuality: "high" };
  const bitmap = await createImageBitmap(blob, options);
  const [x, y] = [resizeWidth / width, resizeHeight / height];
  const inside = boxes.map(({ class: which, box: [x0, y0, x1, y1] }) => ({ class: which, box: [x0 * x, y0 * y, x1 * x, y1 * y] }));
  await trainer.addImage(bitmap, inside);
  bitmap.close();
}

/** What is not a number crosses as null. */
const shortLoss = ({ total }) => (total === null ? "not a number" : short(Number(total.toPrecision(4))));
