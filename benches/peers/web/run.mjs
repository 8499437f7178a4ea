// One 300x300 image through the packed network and through ONNX Runtime Web's float network, in one browser, in turn:
//
//   node run.mjs --deploy FILE --onnx FILE [--chromium PATH] [--web FOLDER] [--rounds N] [--limit SECONDS]
//       [--json FILE]
//
// --deploy: an exact or float deploy file of BiDet-SSD300. --onnx: float SSD300-VGG16, as `export_float.py` beside this exports it. Every number is
// the median of the images of a round after one that warms up, and the fastest round counts.
import { createServer } from "node:http";
import { writeFile } from "node:fs/promises";
import { createReadStream, existsSync, statSync } from "node:fs";
import { extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const here = fileURLToPath(new URL(".", import.meta.url));
const { values } = parseArgs({
  options: {
    deploy: { type: "string" },
    onnx: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    web: { type: "string", default: join(here, "../../../target/web") },
    modules: { type: "string", default: join(here, "node_modules") },
    rounds: { type: "string", default: "2" },
    limit: { type: "string", default: "600" },
    images: { type: "string", default: "3" },
    json: { type: "string" },
  },
});
if (!values.deploy || !values.onnx) throw new Error("give --deploy FILE and --onnx FILE");

const files = { "/deploy": resolve(values.deploy), "/onnx": resolve(values.onnx) };
const types = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };
const server = createServer((request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  const file =
    files[path] ??
    (path.startsWith("/ort/")
      ? join(values.modules, "onnxruntime-web/dist", path.slice(5))
      : join(values.web, path === "/" ? "icon.svg" : path));
  if (!existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end();
    return;
  }
  // ONNX Runtime's threads need a page that is isolated from others.
  response.writeHead(200, {
    "content-type": path === "/" ? "image/svg+xml" : (types[extname(file)] ?? "application/octet-stream"),
    "content-length": statSync(file).size,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
  });
  createReadStream(file).pipe(response);
});
await new Promise((done) => server.listen(0, done));

let version;

/** Runs one contestant in a browser of its own: one that hangs, or takes its browser with it, is no trouble to the others. */
async function measure(run, argument) {
  const browser = await chromium.launch({
    executablePath: values.chromium,
    headless: true,
    chromiumSandbox: false,
    args: ["--enable-unsafe-webgpu", "--disable-background-networking", "--no-first-run", "--disable-sync"],
  });
  version = browser.version();
  const limit = Number(values.limit);
  const late = new Promise((done) => setTimeout(done, 1000 * limit, { missing: `no answer within ${limit} s` }));
  const ran = async () => {
    const page = await browser.newPage();
    page.setDefaultTimeout(0);
    await page.goto(`http://localhost:${server.address().port}/`);
    return await page.evaluate(run, argument);
  };
  const result = await Promise.race([late, ran().catch((e) => ({ missing: e.message.split("\n")[0] }))]);
  // One that hangs does not close either.
  await Promise.race([browser.close(), new Promise((done) => setTimeout(done, 5000))]);
  return result;
}

const images = Number(values.images);
const contestants = {};
for (const device of ["WebGPU", "CPU"]) {
  contestants[`autobidet, packed, ${device}`] = () =>
    measure(
      async ({ device, images }) => {
        const { default: init, Engine, load_on_cpu } = await import("/engine.js");
        await init({ module_or_path: "/engine_bg.wasm" });
        const engine = device === "WebGPU" ? await Engine.open() : undefined;
        const bytes = new Uint8Array(await (await fetch("/deploy")).arrayBuffer());
        const begin = performance.now();
        const detector = engine ? await engine.load(bytes) : await load_on_cpu(bytes);
        const load = performance.now() - begin;
        const pixels = new Uint8Array(300 * 300 * 4).map((_, i) => (i * 7919) >> 3);
        const times = [];
        for (let i = 0; i <= images; i += 1) {
          const at = performance.now();
          await detector.detect(pixels, 300, 300, 0.3, 0);
          times.push(performance.now() - at);
        }
        const info = JSON.parse(detector.info());
        const packed = `${info.packed_layers} of ${info.binary_layers} binary layers packed`;
        return { load, times, adapter: engine?.adapter() ?? "one thread", what: `${info.name}, ${info.precision}, ${packed}` };
      },
      { device, images },
    );
}
for (const provider of ["webgpu", "wasm"]) {
  contestants[`ONNX Runtime Web, float, ${provider}`] = () =>
    measure(
      async ({ provider, images }) => {
        const ort = await import("/ort/ort.all.bundle.min.mjs");
        ort.env.wasm.wasmPaths = "/ort/";
        ort.env.wasm.numThreads = navigator.hardwareConcurrency;
        const begin = performance.now();
        const session = await ort.InferenceSession.create("/onnx", { executionProviders: [provider] });
        const load = performance.now() - begin;
        const data = new Float32Array(3 * 300 * 300).map((_, i) => ((i * 7919) % 255) - 127);
        const times = [];
        for (let i = 0; i <= images; i += 1) {
          const at = performance.now();
          const input = new ort.Tensor("float32", data, [1, 3, 300, 300]);
          const out = await session.run({ [session.inputNames[0]]: input });
          for (const name of session.outputNames) await out[name].getData();
          times.push(performance.now() - at);
        }
        return { load, times, what: `ONNX Runtime Web ${ort.env.versions.web}, ${provider}, ${ort.env.wasm.numThreads} threads` };
      },
      { provider, images },
    );
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const found = {};
for (let round = 0; round < Number(values.rounds); round += 1) {
  for (const [name, run] of Object.entries(contestants)) {
    const result = await run();
    if (result.missing) {
      found[name] ??= result;
      console.error(`${name}: ${result.missing}`);
      continue;
    }
    const ms = median(result.times.slice(1));
    console.error(`round ${round + 1}  ${name}: ${ms.toFixed(0)} ms, first ${result.times[0].toFixed(0)} ms`);
    if (!(found[name]?.ms < ms)) found[name] = { ...result, ms };
  }
}

const [gpu, cpu] = ["WebGPU", "CPU"].map((device) => found[`autobidet, packed, ${device}`].ms);
console.log("| one image, SSD300 | ms | times autobidet's WebGPU | times autobidet's CPU | first image, ms | ready after, ms |\n|---|---|---|---|---|---|");
for (const [name, r] of Object.entries(found)) {
  if (r.missing) console.log(`| ${name} | missing: ${r.missing} | | | | |`);
  else console.log(`| ${name} | ${r.ms.toFixed(0)} | ${(r.ms / gpu).toFixed(2)} | ${(r.ms / cpu).toFixed(2)} | ${r.times[0].toFixed(0)} | ${r.load.toFixed(0)} |`);
}
console.log(`\nChromium ${version}; ${Object.values(found).map((r) => r.what).filter(Boolean).join("; ")}`);
if (values.json) {
  const date = new Date().toISOString().slice(0, 10);
  await writeFile(values.json, `${JSON.stringify({ date, chromium: version, results: found }, null, 2)}\n`);
}
process.exit(0);
