// The worker: holds the engine, answers one call after the other.
//
// In:  { id, method, args }
// Out: { id, event }*, then { id, result } or { id, error: { name, message } };
//      { lost: reason } when the device is gone, { fatal: { name, message } } after a panic of the engine.
import init, { Engine, load_on_cpu } from "./engine.js";
import { pixels } from "./module/pixels.js";

let engine;
let detector;
let trainer;
// The deploy file in use, and its network on WebGPU for traces where the CPU detects.
let file;
let traced;
let ended = false;

// A panic is printed before wasm traps; its text is what a report of a bug needs.
let panic = "";
const print = console.error;
console.error = (...args) => {
  panic = args.map(String).join(" ");
  print.apply(console, args);
};

// wgpu opens the adapter and does not tell its name; whoever asks for one is listened to.
let adapter;
if (self.GPU) {
  const request = GPU.prototype.requestAdapter;
  GPU.prototype.requestAdapter = async function (...args) {
    const given = await request.apply(this, args);
    adapter = given ?? adapter;
    return given;
  };
}

/** What the engine tells of the adapter, and what the browser does. */
function describedAdapter() {
  const { vendor = "", architecture = "", device = "", description = "" } = adapter?.info ?? {};
  const told = JSON.parse(engine.adapter());
  return { ...told, vendor, architecture, device, description: description || told.description };
}

const methods = {
  async open({ module, device }, emit) {
    await init({ module_or_path: module });
    emit({ stage: "device" });
    if (device === "cpu") return { name: "CPU", description: "", vendor: "", architecture: "", software: true, limits: {} };
    engine = await Engine.open();
    setInterval(watch, 500);
    return describedAdapter();
  },

  async load({ bytes, device }) {
    // A software adapter is the CPU as well, and slower than the twins.
    const cpu = device === "cpu" || (device === "auto" && JSON.parse(engine.adapter()).software);
    detector = await (cpu ? load_on_cpu(bytes) : engine.load(bytes));
    file = bytes;
    return JSON.parse(detector.info());
  },

  async detect({ source, score, max }) {
    const started = performance.now();
    const { rgba, width, height, full } = await pixels(source);
    const grab = performance.now() - started;
    const { boxes, times } = JSON.parse(await detector.detect(rgba, width, height, score, max));
    const result = { boxes, times: { grab, ...times }, ...full };
    if (width !== full.width || height !== full.height) {
      for (const found of boxes) found.box = rescaled(found.box, full.width / width, full.height / height);
      result.scaled = { width, height };
    }
    return result;
  },

  async trace({ source }, emit) {
    const { rgba, width, height } = await pixels(source);
    if (!engine) throw new Error("A trace compares WebGPU with the CPU: load the detector with device auto or webgpu.");
    traced ??= JSON.parse(detector.info()).device === "cpu" ? await engine.load(file) : detector;
    return JSON.parse(await traced.trace(rgba, width, height, (line) => emit(JSON.parse(line))));
  },

  async selftest(_, emit) {
    return JSON.parse(await engine.selftest((line) => emit(JSON.parse(line))));
  },

  async train({ config }) {
    trainer = await engine.train(JSON.stringify(config));
  },

  async addImage({ source, boxes }) {
    const { rgba, width, height, full } = await pixels(source);
    const inside = boxes.map(({ class: index, box }) => ({
      class: index,
      box: rescaled(box, width / full.width, height / full.height),
    }));
    await trainer.add_image(rgba, width, height, JSON.stringify(inside));
  },

  async step() {
    return JSON.parse(await trainer.step());
  },

  async preview() {
    const shown = JSON.parse(await trainer.preview());
    return { ...shown, pixels: trainer.preview_pixels() };
  },

  async export({ precision }) {
    return await trainer.export(precision);
  },
};

function rescaled([x0, y0, x1, y1], x, y) {
  return [x0 * x, y0 * y, x1 * x, y1 * y];
}

// Each call ends before the next begins: an object of the engine is busy until its promise is settled.
let queue = Promise.resolve();
self.onmessage = ({ data }) => {
  queue = queue.then(() => answer(data));
};

async function answer({ id, method, args }) {
  if (ended) return;
  try {
    const result = await methods[method](args, (event) => self.postMessage({ id, event }));
    self.postMessage({ id, result }, transferable(result));
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) return fatal(error);
    watch();
    if (!ended) self.postMessage({ id, error: plain(error) });
  }
}

/** Bytes go over without a copy, unless they are a view of the engine's own memory. */
function transferable(result) {
  const bytes = result instanceof Uint8Array ? result : result?.pixels;
  return bytes instanceof Uint8Array && bytes.byteLength === bytes.buffer.byteLength ? [bytes.buffer] : [];
}

function plain(error) {
  if (error instanceof Error || error instanceof DOMException) return { name: error.name, message: error.message };
  return { name: "EngineError", message: String(error) };
}

/** Looks whether the device is still there, between calls too. */
function watch() {
  if (ended || !engine) return;
  let reason;
  try {
    reason = engine.lost();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) fatal(error);
    return;
  }
  if (reason === undefined) return;
  ended = true;
  self.postMessage({ lost: reason });
}

/** After a panic the engine's memory is in no known state: nothing is asked of it again. */
function fatal(error) {
  if (ended) return;
  ended = true;
  const why = panic || error?.message || String(error);
  self.postMessage({ fatal: { name: "EngineError", message: `The engine stopped, which is a bug: ${why}` } });
}

// A panic inside of a future reaches nobody but these.
self.addEventListener("error", (event) => {
  event.preventDefault();
  fatal(event.error ?? event);
});
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fatal(event.reason);
});
