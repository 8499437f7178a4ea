// The first view: a picture or the webcam, what was found in it, and how long that took.
import { supported } from "../autobidet.js";
import { Camera, explainCamera, Rate } from "./camera.js";
import { byId, copyFrom, count, download, el, milliseconds, size } from "./dom.js";
import { connectSamples, connectSources } from "./sources.js";
import { Loading, showNotice, showProblem } from "./state.js";
import { boxElements, drawnPicture, FoundTable, Overlay } from "./view.js";

/** Asked of the engine, so that the slider only has to filter. */
const LEAST = 0.05;

/** Pictures that are saved are drawn up to this size. */
const SAVED = 8192;

/** Browsers tell more or less of the adapter, some nothing but that it is one. */
const named = ({ name, vendor, architecture, description }) => description || [vendor, architecture].filter(Boolean).join(" ") || name || "not told";

/** The view with the id view-detect. */
export class DetectView {
  #model;
  #picture = byId("picture");
  #video = byId("video");
  #camera = new Camera(this.#video);
  #overlay = new Overlay(byId("overlay"));
  #table = new FoundTable(byId("found"), (found) => this.#draw(found));
  #loading = new Loading(byId("loading"));
  #score = byId("score");
  /** The picture at hand: its file and name. */
  #image;
  /** What the engine said of it, down to the lowest score. */
  #result;
  #busy = false;
  /** Something changed while the engine was busy. */
  #waiting = false;
  #announcing;

  /** @param {import("./model.js").Model} model */
  constructor(model) {
    this.#model = model;
    const onImage = (image, name) => this.show(image, name);
    const onTrouble = (text) => this.#notice(text);
    connectSources({ onImage, onTrouble, onModel: (file) => this.#load(file) });
    const first = connectSamples(byId("samples"), onImage, onTrouble);
    this.#score.addEventListener("input", () => this.#render());
    byId("copy").addEventListener("click", () => copyFrom(byId("copy"), this.json()));
    byId("save").addEventListener("click", () => this.#save());
    byId("webcam").addEventListener("click", () => (this.#camera.running ? this.#stopCamera() : this.#startCamera()));
    byId("camera-device").addEventListener("change", (event) => this.#startCamera(event.target.value));
    byId("shipped").addEventListener("click", () => this.#load());
    this.#listen();
    first();
  }

  /** The picture at hand, for the other views. */
  get image() {
    return this.#image;
  }

  #listen() {
    const model = this.#model;
    model.addEventListener("progress", ({ detail }) => this.#loading.show(detail));
    model.addEventListener("ready", () => {
      this.#loading.hide();
      byId("problem").hidden = true;
      this.#score.value = Math.max(LEAST, model.detector.info.score ?? 0.3);
      this.#facts();
      this.#detect();
    });
    model.addEventListener("failed", ({ detail }) => this.#failed(detail));
    model.addEventListener("lost", ({ detail }) => {
      this.#stopCamera();
      this.#problem({
        title: "The detector stopped",
        text: detail,
        remedy: "A device is lost when its driver restarts, the computer sleeps or memory runs out. Start again to go on with the same model and picture.",
        actions: [this.#againButton("Start again")],
      });
    });
  }

  /** @param {Blob} [source] a deploy file; the shipped one if left out */
  #load(source) {
    this.#notice("");
    byId("problem").hidden = true;
    return this.#model.load(source);
  }

  async #failed(error) {
    this.#loading.hide();
    if (this.#model.detector) {
      this.#notice(`That file cannot be used, so the model stays as it was. ${error.message}`);
      return;
    }
    const support = await supported();
    if (!support.ok) {
      this.#problem({ title: "WebGPU is not there", text: support.reason, remedy: support.remedy, actions: [this.#againButton("Try again"), this.#cpuButton()] });
      return;
    }
    this.#problem({ title: "The detector could not be started", text: error.message, actions: [this.#againButton("Try again")] });
  }

  #againButton(text) {
    return el("button", { type: "button", class: "primary", onclick: () => this.#again() }, text);
  }

  /** Detecting needs no WebGPU, only time. */
  #cpuButton() {
    const onclick = () => {
      this.#model.device = "cpu";
      return this.#again();
    };
    return el("button", { type: "button", onclick }, "Compute on the processor");
  }

  #again() {
    this.#notice("");
    byId("problem").hidden = true;
    return this.#model.again();
  }

  #problem(problem) {
    this.#clear();
    byId("times").replaceChildren();
    byId("facts").replaceChildren();
    byId("rate").textContent = "–";
    showProblem(byId("problem"), problem);
  }

  #notice(text) {
    showNotice(byId("notice"), text);
  }

  /**
   * Shows a picture and looks for objects in it.
   * @param {Blob} image
   * @param {string} name
   */
  async show(image, name) {
    this.#stopCamera();
    this.#notice("");
    const url = URL.createObjectURL(image);
    const test = new Image();
    test.src = url;
    try {
      await test.decode();
    } catch {
      URL.revokeObjectURL(url);
      this.#notice(`${name} could not be read: it is damaged, or of a kind that this browser does not know.`);
      return;
    }
    URL.revokeObjectURL(this.#picture.src);
    this.#picture.src = url;
    this.#image = { blob: image, name };
    this.#clear();
    this.#frame(test.naturalWidth, test.naturalHeight);
    this.#detect();
  }

  #frame(width, height) {
    const frame = byId("frame");
    frame.style.setProperty("--w", width);
    frame.style.setProperty("--h", height);
  }

  #clear() {
    this.#result = undefined;
    this.#render();
  }

  /** Looks for objects in the picture at hand; while one picture is looked at, only the newest waits. */
  async #detect() {
    const { detector } = this.#model;
    if (!detector || !this.#image || this.#camera.running) return;
    if (this.#busy) {
      this.#waiting = true;
      return;
    }
    this.#busy = true;
    byId("stage").classList.add("busy");
    const { blob } = this.#image;
    try {
      const result = await detector.run(blob, { score: LEAST });
      if (this.#image.blob === blob && !this.#camera.running) {
        this.#show(result);
        this.#rate(1000 / (result.times.grab + result.times.total));
        performance.mark("detected");
      }
    } catch (error) {
      // A lost device and a closed detector have their own words.
      if (this.#model.detector === detector) this.#notice(error.message);
    }
    this.#busy = false;
    byId("stage").classList.remove("busy");
    if (this.#waiting) {
      this.#waiting = false;
      this.#detect();
    }
  }

  #show(result) {
    this.#result = result;
    this.#render();
    const { times } = result;
    const stages = [
      ["Reading", times.grab],
      ["Resizing", times.prepare],
      ["Network", times.network],
      ["Boxes", times.decode],
    ];
    const whole = times.grab + times.total;
    byId("times").replaceChildren(
      ...stages.map(([name, ms]) => {
        const part = el("i", {});
        part.style.width = `${Math.min(100, (100 * ms) / whole)}%`;
        return el("div", {}, el("dt", {}, name), el("dd", { class: "track", "aria-hidden": "true" }, part), el("dd", {}, milliseconds(ms)));
      }),
      el("div", { class: "sum" }, el("dt", {}, "Together"), el("dd", {}, milliseconds(whole))),
    );
  }

  #rate(frames) {
    byId("rate").textContent = frames < 9.95 ? frames.toFixed(1) : String(Math.round(frames));
  }

  #shown() {
    const least = Number(this.#score.value);
    return this.#result?.boxes.filter(({ score }) => score >= least) ?? [];
  }

  #render() {
    const boxes = this.#shown();
    const value = Number(this.#score.value).toFixed(2);
    byId("score-value").textContent = value;
    byId("count").textContent = this.#result ? count(boxes.length, "object") : "";
    this.#table.show(boxes);
    const nothing = byId("nothing");
    nothing.hidden = boxes.length > 0;
    nothing.textContent = this.#result ? `Nothing with a score of ${value} or more.` : "Nothing yet.";
    byId("copy").disabled = byId("save").disabled = !this.#result;
    this.#draw();
    if (!this.#camera.running) this.#announce(boxes);
  }

  /** For who listens; not at every move of the slider. */
  #announce(boxes) {
    clearTimeout(this.#announcing);
    if (!this.#result) return;
    this.#announcing = setTimeout(() => {
      const names = boxes.slice(0, 8).map(({ label, score }) => `${label} ${score.toFixed(2)}`);
      byId("announce").textContent = `${count(boxes.length, "object")} found${names.length ? `: ${names.join(", ")}` : ""}.`;
    }, 400);
  }

  #draw(marked) {
    const result = this.#result;
    const boxes = this.#shown();
    this.#overlay.show((width, height) => (result ? boxElements(boxes, { scale: width / result.width, width, height, marked }) : []));
  }

  #facts() {
    const { info } = this.#model.detector;
    const { adapter } = info;
    const packed = info.packed_layers === info.binary_layers ? "packed" : `${info.packed_layers} of ${info.binary_layers} packed`;
    const facts = [
      ["Name", info.name],
      ["Network", `${info.model}, ${info.method}, ${info.input} × ${info.input}`],
      ["Size", size(info.bytes)],
      ["Numbers", info.precision === "exact" ? "integers: the same boxes on every device" : "floats, but for the binary layers"],
      ["Layers", `${info.layers.length}, ${info.binary_layers} of them binary`],
      ["Binary layers", packed],
      ["Finds", info.labels.join(", ")],
      ["Adapter", named(adapter)],
    ];
    if (info.raised_limits) facts.push(["Limits", "larger buffers than WebGPU's default: this network needs them"]);
    byId("facts").replaceChildren(...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
    const note = {
      auto: "The browser's WebGPU is a program on the processor here. So the engine computes on the processor itself, which is faster.",
      cpu: "Computed on the processor, without WebGPU.",
    }[this.#model.device];
    if (info.device === "cpu") byId("facts").append(el("dt", {}, "Note"), el("dd", {}, note));
    byId("shipped").hidden = this.#model.shipped;
  }

  async #startCamera(deviceId) {
    this.#notice("");
    try {
      await this.#camera.start(deviceId, () => {
        this.#stopCamera();
        this.#notice("The camera was disconnected.");
      });
    } catch (error) {
      this.#stopCamera();
      this.#notice(explainCamera(error));
      return;
    }
    this.#cameraShown(true);
    this.#clear();
    this.#frame(this.#video.videoWidth, this.#video.videoHeight);
    this.#cameras();
    this.#watch();
  }

  async #cameras() {
    const cameras = await this.#camera.list();
    const select = byId("camera-device");
    select.hidden = cameras.length < 2;
    select.replaceChildren(...cameras.map(({ id, label, current }) => el("option", { value: id, selected: current }, label)));
  }

  /** One frame after the other: the next is taken when the last is done, so none ever waits in a queue. */
  async #watch() {
    const stream = this.#video.srcObject;
    const rate = new Rate();
    while (this.#camera.running && this.#video.srcObject === stream) {
      await this.#camera.frame();
      const { detector } = this.#model;
      if (!detector || this.#busy || this.#video.srcObject !== stream) continue;
      this.#busy = true;
      try {
        const result = await detector.run(this.#video, { score: LEAST });
        if (this.#video.srcObject === stream) {
          this.#frame(result.width, result.height);
          this.#show(result);
          const frames = rate.tick();
          if (frames) this.#rate(frames);
        }
      } catch (error) {
        if (this.#model.detector === detector && this.#camera.running) {
          this.#stopCamera();
          this.#notice(error.message);
        }
      }
      this.#busy = false;
    }
    if (this.#waiting) {
      this.#waiting = false;
      this.#detect();
    }
  }

  #stopCamera() {
    if (byId("video").hidden && !this.#camera.running) return;
    this.#camera.stop();
    this.#cameraShown(false);
    this.#clear();
    if (this.#picture.naturalWidth) this.#frame(this.#picture.naturalWidth, this.#picture.naturalHeight);
    this.#detect();
  }

  #cameraShown(on) {
    this.#video.hidden = !on;
    this.#picture.hidden = on;
    const button = byId("webcam");
    button.textContent = on ? "Stop the webcam" : "Use the webcam";
    button.setAttribute("aria-pressed", on);
    if (!on) byId("camera-device").hidden = true;
  }

  /** What is shown, for other programs. */
  json() {
    const { info } = this.#model.detector ?? { info: {} };
    const { width, height, times } = this.#result;
    const whole = {
      image: this.#camera.running ? "webcam" : this.#image.name,
      width,
      height,
      model: { name: info.name, model: info.model, method: info.method, precision: info.precision, bytes: info.bytes },
      adapter: info.adapter && named(info.adapter),
      score: Number(this.#score.value),
      times,
      boxes: this.#shown(),
    };
    return JSON.stringify(whole, null, 2);
  }

  async #save() {
    const source = this.#camera.running ? this.#video : this.#picture;
    const scale = Math.min(1, SAVED / Math.max(this.#result.width, this.#result.height));
    const width = Math.round(this.#result.width * scale);
    const height = Math.round(this.#result.height * scale);
    // Lines and letters as large beside the picture as they are on the screen.
    const unit = Math.max(0.6, width / Math.max(1, byId("frame").clientWidth));
    const drawn = await drawnPicture(source, { width, height }, boxElements(this.#shown(), { scale, unit, width, height }));
    const name = this.#camera.running ? "webcam" : this.#image.name.replace(/\.[^.]*$/, "");
    download(drawn, `${name}-found.png`);
  }
}
