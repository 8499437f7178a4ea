// The engine itself: every kernel beside its CPU twin, and files that come from or go to the native program.
//
// AUTOBIDET_BIN: the native program (default ../../target/release/autobidet). AUTOBIDET_RUN: the folder of a trained run of
// drawn scenes (default: one is trained here, a minute).
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { after, before, test } from "node:test";
import { FOLDER, launch, PATIENCE, server, tab } from "./open.mjs";

const BIN = resolve(process.env.AUTOBIDET_BIN ?? fileURLToPath(new URL("../../target/release/autobidet", import.meta.url)));
const call = promisify(execFile);
const native = (...args) => call(BIN, args, { maxBuffer: 1 << 28 });

let browser;
let site;
let work;

before(async () => {
  site = await server();
  browser = await launch();
  work = await mkdtemp(join(tmpdir(), "autobidet-browser-"));
});

after(async () => {
  await browser?.close();
  await site?.close();
  if (work) await rm(work, { recursive: true });
});

/** Runs a function in an empty page beside the engine. */
async function inPage(run, argument) {
  const { context, page } = await tab(browser, site.url);
  try {
    await page.goto(`${site.url}icon.svg`);
    return await page.evaluate(run, argument);
  } finally {
    await context.close();
  }
}

test("every kernel computes in the browser what its CPU twin says", { timeout: 10 * PATIENCE }, async () => {
  const { summary, lines } = await inPage(async () => {
    const { default: init, Engine } = await import("./engine.js");
    await init({ module_or_path: "engine_bg.wasm" });
    const engine = await Engine.open();
    const lines = [];
    const summary = JSON.parse(await engine.selftest((line) => lines.push(JSON.parse(line))));
    return { summary, lines };
  });
  assert.deepEqual(lines.filter((l) => l.problems.length > 0).map((l) => [l.op, l.problems]), []);
  assert.equal(summary.failed, 0);
  // The native self-test runs the same cases.
  const { stdout } = await native("selftest", "--device", "cpu", "--json").catch((e) => e);
  const told = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const wanted = told.reduce((sum, l) => sum + (l.source === "own" ? l.cases : 0), 0);
  assert.ok(wanted > 100 && summary.passed === wanted, `${summary.passed} cases here, ${wanted} natively`);
});

/** What the native program finds: label, score and box of each image by its number. */
async function natively(weights, images) {
  const json = join(work, "found.json");
  await native("detect", "--device", "cpu", "--weights", weights, "--score", "0.05", "--json", json, "--out", join(work, "found"), ...images);
  const found = new Map();
  for (const row of JSON.parse(await readFile(json, "utf8"))) {
    const list = found.get(row.image_id) ?? [];
    found.set(row.image_id, [...list, row]);
  }
  return found;
}

/** What the module finds in samples on a device. */
const inBrowser = (bytes, names, device) =>
  inPage(
    async ({ bytes, names, device }) => {
      const { Detector } = await import("./autobidet.js");
      const detector = await Detector.load(new Uint8Array(bytes), { device });
      if (detector.info.device !== device) throw new Error(`computed on ${detector.info.device}`);
      const out = {};
      for (const name of names) {
        const blob = await (await fetch(`samples/${name}.png`)).blob();
        out[name] = await detector.detect(blob, { score: 0.05 });
      }
      detector.close();
      return out;
    },
    { bytes: [...bytes], names, device },
  );

const NAMES = ["scene-1", "scene-2", "scene-3", "scene-4"];
const images = NAMES.map((name) => join(FOLDER, "samples", `${name}.png`));
const sides = ([x0, y0, x1, y1]) => [x0, y0, Math.fround(x1 - x0), Math.fround(y1 - y0)];

test("an exact deploy file gives the same boxes as natively, bit for bit", { timeout: 3 * PATIENCE }, async () => {
  const file = join(FOLDER, "models", "scenes.safetensors");
  const want = [...(await natively(file, images)).values()].flat();
  assert.ok(want.length > 20, `only ${want.length} objects to compare`);
  const plain = (label, score, box) => `${label} ${Math.fround(score)} ${box.map(Math.fround)}`;
  for (const device of ["webgpu", "cpu"]) {
    const got = Object.values(await inBrowser(await readFile(file), NAMES, device)).flat();
    assert.deepEqual(
      got.map((d) => plain(d.label, d.score, sides(d.box))),
      want.map((d) => plain(d.label, d.score, d.bbox)),
      device,
    );
  }
});

function overlap([ax, ay, aw, ah], [bx, by, bw, bh]) {
  const w = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const h = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  const both = Math.max(w, 0) * Math.max(h, 0);
  return both / (aw * ah + bw * bh - both);
}

test("a float deploy file gives partners for 98 % of what is found natively", { timeout: 10 * PATIENCE }, async () => {
  let run = process.env.AUTOBIDET_RUN;
  if (!run) {
    run = join(work, "run");
    await native("train", "--data", "scenes", "--device", "cpu", "--steps", "150", "--eval-every", "150", "--out", run);
  }
  const file = join(work, "float.safetensors");
  await native("export", run, "--precision", "float", "--out", file);
  const want = [...(await natively(file, images)).values()];
  const got = Object.values(await inBrowser(await readFile(file), NAMES, "webgpu"));
  let [all, partners] = [0, 0];
  for (const [k, found] of want.entries()) {
    for (const one of found.filter((d) => d.score > 0.3)) {
      all += 1;
      const same = got[k].filter((d) => d.class + 1 === one.category_id);
      partners += same.some((d) => overlap(sides(d.box), one.bbox) > 0.9) ? 1 : 0;
    }
  }
  assert.ok(all >= 8, `only ${all} objects are found at all`);
  assert.ok(partners >= 0.98 * all, `${partners} of ${all} have a partner`);
});

test("what is trained in the browser loads natively, and its loss fell", { timeout: 10 * PATIENCE }, async () => {
  const { losses, bytes, found } = await inPage(async () => {
    const { default: init, Engine } = await import("./engine.js");
    await init({ module_or_path: "engine_bg.wasm" });
    const engine = await Engine.open();
    const trainer = await engine.train(JSON.stringify({ steps: 24, batch: 4 }));
    const losses = [];
    for (let i = 0; i < 24; i += 1) losses.push(JSON.parse(await trainer.step()).losses);
    const bytes = await trainer.export("exact");
    const detector = await engine.load(bytes);
    const pixels = new Uint8Array(160 * 160 * 4).map((_, i) => (i * 7919) >> 3);
    const found = JSON.parse(await detector.detect(pixels, 160, 160, 0, 50)).boxes;
    return { losses, bytes: [...bytes], found };
  });
  const own = (l) => l.conf + l.loc;
  const mean = (part) => part.reduce((sum, l) => sum + own(l), 0) / part.length;
  const [first, last] = [mean(losses.slice(0, 6)), mean(losses.slice(-6))];
  assert.ok(last < 0.8 * first, `the loss went from ${first} to ${last}`);
  assert.ok(found.length > 0);
  const file = join(work, "trained.safetensors");
  await writeFile(file, Uint8Array.from(bytes));
  const { stdout } = await native("info", file, "--require-packed");
  assert.match(stdout, /deploy file, exact/);
});
