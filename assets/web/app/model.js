// The detector that the page has at hand, and how it gets another.
import { Detector } from "../autobidet.js";

const SHIPPED = new URL("../models/scenes.safetensors", import.meta.url);

/**
 * Holds the detector. Events: `progress` (detail: of the module), `ready`, `failed` (detail: the error), `lost` (detail: the reason).
 */
export class Model extends EventTarget {
  /** @type {Detector | undefined} */
  detector;
  /** What computes: see the module's `device`. @type {"auto" | "cpu"} */
  device = "auto";
  #abort;
  #source = SHIPPED;

  /** Whether the shipped model is the one at hand. */
  get shipped() {
    return this.#source === SHIPPED;
  }

  /**
   * Loads a deploy file. What was there before stays at hand until the new one is ready, and for good if that fails.
   * @param {URL | Blob | Uint8Array} [source] the shipped one if left out
   */
  async load(source = SHIPPED) {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const tell = (type, detail) => abort.signal.aborted || this.dispatchEvent(new CustomEvent(type, { detail }));
    try {
      const onProgress = (progress) => progress.stage !== "ready" && tell("progress", progress);
      const detector = await Detector.load(source, { onProgress, signal: abort.signal, device: this.device });
      if (abort.signal.aborted) {
        detector.close();
        return;
      }
      this.detector?.close();
      this.detector = detector;
      this.#source = source;
      detector.lost.then((reason) => {
        if (this.detector !== detector) return;
        this.detector = undefined;
        // Told even when another load has begun since: that one may fail.
        this.dispatchEvent(new CustomEvent("lost", { detail: reason }));
      });
      tell("ready");
    } catch (error) {
      tell("failed", error);
    }
  }

  /** The same deploy file anew, after the device was lost. */
  again() {
    return this.load(this.#source);
  }
}
