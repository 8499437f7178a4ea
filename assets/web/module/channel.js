// One worker and the calls that wait for it. A Detector and a Trainer have one each.

/** The compiled engine: fetched and compiled once a page, off the main thread, while the workers start. */
let compiled;

function compileEngine() {
  compiled ??= fetchEngine();
  // A failed fetch must not stay: the next load tries again.
  compiled.catch(() => {
    compiled = undefined;
  });
  return compiled;
}

async function fetchEngine() {
  const url = new URL("../engine_bg.wasm", import.meta.url);
  let response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw named("NetworkError", `The engine could not be fetched from ${url}: ${error.message}`);
  }
  if (!response.ok) {
    throw named("NetworkError", `The engine could not be fetched from ${url}: HTTP ${response.status}`);
  }
  // Streaming wants this type; a server that does not know .wasm must not be the end of it.
  const type = response.headers.get("content-type") ?? "";
  if (type.split(";")[0].trim() === "application/wasm") return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

/**
 * An error with a name, as everything here throws it.
 * @param {string} name
 * @param {string} message
 */
export function named(name, message) {
  const error = new Error(message);
  error.name = name;
  return error;
}

/** Calls to the engine in its worker, answered in the order in which they were made. */
export class Channel {
  #worker;
  #waiting = new Map();
  #next = 1;
  /** Why no call can be answered any more. */
  #ended;
  #resolveLost;

  /** Resolves with the reason when the device is lost or the engine has crashed; stays open after close(). */
  lost = new Promise((resolve) => {
    this.#resolveLost = resolve;
  });

  constructor() {
    this.#worker = new Worker(new URL("../worker.js", import.meta.url), { type: "module", name: "autobidet" });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onmessageerror = () => this.#die(named("EngineError", "An answer of the engine could not be read."));
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const message = event.message
        ? `The engine's worker stopped: ${event.message}`
        : "The engine's worker could not be started: worker.js must be served from the page's own origin, beside autobidet.js and engine.js.";
      this.#die(named("EngineError", message));
    };
  }

  /**
   * Starts the engine on a device.
   * @param {(progress: {stage: string}) => void} onProgress
   * @returns {Promise<object>} the adapter
   */
  async open(onProgress, device) {
    onProgress({ stage: "engine" });
    return this.call("open", { module: await compileEngine(), device }, { onEvent: onProgress });
  }

  /**
   * @param {string} method
   * @param {object} [args]
   * @param {{transfer?: Transferable[], onEvent?: (event: any) => void}} [options]
   */
  call(method, args = {}, { transfer = [], onEvent } = {}) {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        for (const item of transfer) item.close?.();
        reject(this.#ended);
        return;
      }
      const id = this.#next++;
      try {
        this.#worker.postMessage({ id, method, args }, transfer);
      } catch (error) {
        // Pixels of another origin may be shown but not read; a bitmap of them does not go over.
        const foreign = "The pixels may not be read: the image comes from another origin, without CORS (crossorigin=\"anonymous\").";
        reject(error.name === "DataCloneError" && args.source ? named("SecurityError", foreign) : error);
        return;
      }
      this.#waiting.set(id, { resolve, reject, onEvent });
    });
  }

  #receive({ id, event, result, error, lost, fatal }) {
    if (lost !== undefined) return this.#die(named("DeviceLostError", `The GPU device was lost: ${lost}`));
    if (fatal) return this.#die(named(fatal.name, fatal.message));
    const call = this.#waiting.get(id);
    if (!call) return;
    if (event !== undefined) {
      call.onEvent?.(event);
      return;
    }
    this.#waiting.delete(id);
    if (error) call.reject(named(error.name, error.message));
    else call.resolve(result);
  }

  #end(error) {
    if (this.#ended) return false;
    this.#ended = error;
    this.#worker.terminate();
    for (const call of this.#waiting.values()) call.reject(error);
    this.#waiting.clear();
    return true;
  }

  #die(error) {
    if (this.#end(error)) this.#resolveLost(error.message);
  }

  /** Ends the worker and gives its memory back. What still waits is rejected. */
  close() {
    this.#end(named("AbortError", "It was closed."));
  }
}
