// autobidet: binarized object detectors in the browser, on WebGPU.
import { Channel, named } from "./module/channel.js";
import { readModel, sendable } from "./module/source.js";
import { missing, supported } from "./module/support.js";

export { supported };

/** A new channel with a running engine, and its adapter. */
async function started(onProgress, signal, alongside, device = "webgpu") {
  signal?.throwIfAborted();
  const without = missing(device);
  if (without) throw named("NotSupportedError", `${without.reason} ${without.remedy}`);
  const channel = new Channel();
  const abort = () => channel.close();
  signal?.addEventListener("abort", abort);
  try {
    // The model is on its way while the engine is.
    const [adapter, beside] = await Promise.all([channel.open(onProgress, device), alongside?.()]);
    return { channel, adapter, beside };
  } catch (error) {
    channel.close();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** A trained detector, running in a worker of its own. */
export class Detector {
  #channel;

  /** What the deploy file holds, and the adapter it runs on. */
  info;

  /** Use `Detector.load`. */
  constructor(channel, info) {
    this.#channel = channel;
    this.info = info;
  }

  /**
   * Fetches or reads a deploy file and makes it ready to detect.
   * @param {string | URL | Blob | ArrayBuffer | Uint8Array} model
   * @param {{onProgress?: (progress: object) => void, signal?: AbortSignal, device?: "auto" | "webgpu" | "cpu"}} [options]
   */
  static async load(model, { onProgress = () => {}, signal, device = "auto" } = {}) {
    if (!["auto", "webgpu", "cpu"].includes(device)) throw named("RangeError", `No device ${device}: it is auto, webgpu or cpu.`);
    const read = () => readModel(model, onProgress, signal);
    const { channel, adapter, beside: bytes } = await started(onProgress, signal, read, device);
    onProgress({ stage: "network" });
    try {
      const info = await channel.call("load", { bytes, device }, { transfer: [bytes.buffer] });
      onProgress({ stage: "ready" });
      return new Detector(channel, { ...info, adapter });
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  /** Resolves with the reason when the device is lost or the engine has crashed. Load a new detector then. */
  get lost() {
    return this.#channel.lost;
  }

  /**
   * What is in the picture, best first, in pixels of the source's natural size.
   * @param {import("./autobidet.js").Source} source
   * @param {{score?: number, max?: number}} [options]
   */
  async detect(source, options) {
    return (await this.run(source, options)).boxes;
  }

  /**
   * As `detect`, with the milliseconds of every stage and the size of the source.
   * @param {import("./autobidet.js").Source} source
   * @param {{score?: number, max?: number}} [options]
   */
  async run(source, { score = this.info.score ?? 0.3, max = 200 } = {}) {
    const message = await sendable(source);
    return this.#channel.call("detect", { source: message.source, score, max }, { transfer: message.transfer });
  }

  /**
   * Runs every layer on the device and on its CPU twin, and compares.
   * @param {import("./autobidet.js").Source} source
   * @param {{onStep?: (step: object) => void}} [options]
   */
  async trace(source, { onStep } = {}) {
    const message = await sendable(source);
    return this.#channel.call("trace", { source: message.source }, { transfer: message.transfer, onEvent: onStep });
  }

  /**
   * Runs every operation's own cases on the device against the CPU twins.
   * @param {{onStep?: (line: object) => void}} [options]
   */
  selftest({ onStep } = {}) {
    return this.#channel.call("selftest", {}, { onEvent: onStep });
  }

  /** Ends the worker. What still waits is rejected with an AbortError. */
  close() {
    this.#channel.close();
  }
}

/** Trains a small detector in a worker of its own. */
export class Trainer {
  #channel;
  #done = false;

  /** The configuration that it was made with. */
  config;
  /** The adapter that it runs on. */
  adapter;

  /** Use `Trainer.create`. */
  constructor(channel, adapter, config) {
    this.#channel = channel;
    this.adapter = adapter;
    this.config = config;
  }

  /**
   * @param {import("./autobidet.js").TrainConfig} [config]
   * @param {{onProgress?: (progress: object) => void, signal?: AbortSignal}} [options]
   */
  static async create(config = {}, { onProgress = () => {}, signal } = {}) {
    const whole = { source: "scenes", ...config };
    const { channel, adapter } = await started(onProgress, signal);
    onProgress({ stage: "network" });
    try {
      await channel.call("train", { config: whole });
    } catch (error) {
      channel.close();
      throw error;
    }
    onProgress({ stage: "ready" });
    return new Trainer(channel, adapter, whole);
  }

  /** Resolves with the reason when the device is lost or the engine has crashed. */
  get lost() {
    return this.#channel.lost;
  }

  /**
   * Adds an annotated image; only with `source: "images"`, and before the first step.
   * @param {import("./autobidet.js").Source} source
   * @param {{class: number | string, box: [number, number, number, number]}[]} boxes
   */
  async addImage(source, boxes) {
    const numbered = boxes.map(({ class: which, box }) => ({ class: this.#number(which), box }));
    const message = await sendable(source);
    await this.#channel.call("addImage", { source: message.source, boxes: numbered }, { transfer: message.transfer });
  }

  #number(which) {
    const classes = this.config.classes ?? [];
    const index = typeof which === "number" ? which : classes.indexOf(which);
    if (Number.isInteger(index) && index >= 0 && index < classes.length) return index;
    throw named("RangeError", `No class ${JSON.stringify(which)}: the classes are ${classes.join(", ")}.`);
  }

  /**
   * Trains a step at a time, each when the caller asks for the next, until the last step or the signal.
   * A run that was stopped goes on with the next `run`.
   * @param {{signal?: AbortSignal}} [options]
   */
  async *run({ signal } = {}) {
    while (!this.#done && !signal?.aborted) {
      const event = await this.#channel.call("step");
      this.#done = event.step >= event.steps;
      yield event;
    }
  }

  /** What is found in an image that is not trained on (or in one of the own images), and the truth. */
  async preview() {
    const { pixels, ...rest } = await this.#channel.call("preview");
    const data = new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, pixels.byteLength);
    return { ...rest, image: new ImageData(data, rest.width, rest.height) };
  }

  /**
   * The detector as it is now, as a deploy file.
   * @param {"exact" | "float"} [precision]
   * @returns {Promise<Uint8Array>}
   */
  export(precision = "exact") {
    return this.#channel.call("export", { precision });
  }

  /** Ends the worker. What still waits is rejected with an AbortError. */
  close() {
    this.#channel.close();
  }
}
