// The module as other pages use it: `import { Detector, Trainer, supported } from "./autobidet.js"`.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { test } from "node:test";
import { browser, FOLDER, openBoth, PATIENCE, sample, site, tab } from "./open.mjs";

openBoth();

/** Runs a function in an empty page beside the module; what it returns is judged here. */
function withModule(name, inPage, judge) {
  test(name, { timeout: 3 * PATIENCE }, async () => {
    const { context, page, troubles } = await tab(browser, site.url);
    try {
      // Any file that is a document and starts nothing.
      await page.goto(`${site.url}icon.svg`);
      judge(await page.evaluate(inPage));
      // What is asked for and not there is judged by the error that it brings.
      assert.deepEqual(troubles.filter((text) => !text.includes("status of 404")), []);
    } finally {
      await context.close();
    }
  });
}

withModule(
  "every kind of source with the same pixels gives the same boxes",
  async () => {
    const { Detector } = await import("./autobidet.js");
    const d = await Detector.load("models/scenes.safetensors");
    const blob = await (await fetch("samples/scene-1.png")).blob();
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
    const offscreen = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = offscreen.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const data = context.getImageData(0, 0, bitmap.width, bitmap.height);
    const canvas = document.createElementNS("http://www.w3.org/1999/xhtml", "canvas");
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").putImageData(data, 0, 0);
    const image = new Image();
    image.src = "samples/scene-1.png";
    const frame = new VideoFrame(bitmap, { timestamp: 0 });
    const sources = { data, blob, bitmap, offscreen, canvas, image, frame };
    const results = {};
    for (const [kind, source] of Object.entries(sources)) results[kind] = JSON.stringify(await d.detect(source, { score: 0.05 }));
    // What is given stays its owner's.
    const kept = bitmap.width > 0 && data.data.length > 0 && frame.codedWidth > 0;
    frame.close();
    d.close();
    return { results, kept };
  },
  ({ results, kept }) => {
    assert.ok(JSON.parse(results.data).length > 0);
    for (const kind of ["blob", "bitmap", "offscreen", "canvas", "image"]) assert.equal(results[kind], results.data, kind);
    // A frame of video may be held in other colours: as many objects, but not to the bit.
    assert.ok(JSON.parse(results.frame).length > 0);
    assert.ok(kept);
  },
);

withModule(
  "calls at the same time are answered in order; score and max are kept",
  async () => {
    const { Detector } = await import("./autobidet.js");
    const stages = [];
    const bytes = new Uint8Array(await (await fetch("models/scenes.safetensors")).arrayBuffer());
    const d = await Detector.load(bytes, { onProgress: ({ stage }) => stages.push(stage) });
    const blob = await (await fetch("samples/scene-1.png")).blob();
    const order = [];
    const all = await Promise.all([0.05, 0.5, 0.9].map((score) => d.run(blob, { score }).then((result) => (order.push(score), result))));
    const one = await d.detect(blob, { score: 0.05, max: 1 });
    const standard = await d.detect(blob);
    d.close();
    return { stages, order, counts: all.map(({ boxes }) => boxes.length), times: all[0].times, one, standard, info: d.info, kept: bytes.length, all };
  },
  ({ stages, order, counts, times, one, standard, info, kept, all }) => {
    assert.deepEqual(stages, ["engine", "device", "network", "ready"]);
    assert.deepEqual(order, [0.05, 0.5, 0.9]);
    assert.ok(counts[0] >= counts[1] && counts[1] >= counts[2] && counts[0] > counts[2], String(counts));
    all.forEach(({ boxes }, index) => boxes.forEach(({ score }) => assert.ok(score >= order[index])));
    assert.equal(one.length, 1);
    for (const { score, label, class: number } of standard) {
      assert.ok(score >= info.score);
      assert.equal(info.labels[number], label);
    }
    assert.ok(times.grab >= 0 && times.total > 0);
    assert.equal(info.bytes, kept);
    assert.ok(info.adapter.limits.max_buffer > 0);
  },
);

withModule(
  "a picture beyond the bounds is scaled down, and boxes are told in its own pixels",
  async () => {
    const { Detector } = await import("./autobidet.js");
    const d = await Detector.load("models/scenes.safetensors");
    const small = await createImageBitmap(await (await fetch("samples/scene-1.png")).blob());
    const large = new OffscreenCanvas(5000, Math.round((5000 * small.height) / small.width));
    large.getContext("2d").drawImage(small, 0, 0, large.width, large.height);
    const [a, b] = [await d.run(small), await d.run(large)];
    d.close();
    return { a, b, ratio: large.width / small.width, size: [large.width, large.height] };
  },
  ({ a, b, ratio, size }) => {
    assert.equal(a.scaled, undefined);
    assert.deepEqual([b.width, b.height], size);
    assert.equal(Math.max(b.scaled.width, b.scaled.height), 2048);
    const [best] = a.boxes;
    const same = b.boxes.some(({ box }) => box.every((value, side) => Math.abs(value / ratio - best.box[side]) < 0.1 * a.width));
    assert.ok(same, `${JSON.stringify(best)} is not in ${JSON.stringify(b.boxes)}`);
  },
);

withModule(
  "errors have names, and what was closed rejects what waits",
  async () => {
    const { Detector, Trainer } = await import("./autobidet.js");
    const fails = async (promise) => promise.then(() => "nothing", ({ name, message }) => `${name}: ${message}`);
    const told = {};
    told.missing = await fails(Detector.load("models/none.safetensors"));
    told.broken = await fails(Detector.load(new Blob(["no deploy file"])));
    const d = await Detector.load("models/scenes.safetensors");
    told.kind = await fails(d.detect("a string"));
    told.image = await fails(d.detect(new Blob(["no image"])));
    const blob = await (await fetch("samples/scene-1.png")).blob();
    const waiting = d.detect(blob);
    d.close();
    told.waiting = await fails(waiting);
    told.after = await fails(d.detect(blob));
    const abort = new AbortController();
    const loading = Detector.load("models/scenes.safetensors", { signal: abort.signal });
    abort.abort();
    told.aborted = await fails(loading);
    const t = await Trainer.create({ source: "images", classes: ["a"], steps: 2, batch: 2 });
    told.label = await fails(t.addImage(blob, [{ class: "b", box: [0, 0, 9, 9] }]));
    t.close();
    return told;
  },
  (told) => {
    assert.match(told.missing, /^NetworkError: .*404/);
    assert.match(told.broken, /^\w*Error: .{10}/);
    assert.match(told.kind, /^TypeError: Not an image/);
    assert.match(told.image, /^EncodingError/);
    assert.match(told.waiting, /^AbortError/);
    assert.match(told.after, /^AbortError/);
    assert.match(told.aborted, /^AbortError/);
    assert.match(told.label, /^RangeError: .*"b".*a/);
  },
);

withModule(
  "training through the module: steps as they are asked for, a preview, a deploy file that loads",
  async () => {
    const { Detector, Trainer } = await import("./autobidet.js");
    const t = await Trainer.create({ source: "scenes", steps: 4, batch: 2, seed: 3 });
    const first = [];
    for await (const event of t.run()) {
      first.push(event);
      if (event.step === 2) break;
    }
    const rest = [];
    for await (const event of t.run()) rest.push(event.step);
    const { image, width, height, truth } = await t.preview();
    const bytes = await t.export("exact");
    const d = await Detector.load(bytes);
    const boxes = await d.detect(image, { score: 0.05 });
    t.close();
    d.close();
    return { first, rest, size: [image.width, image.height, width, height], truth, bytes: bytes.length, info: d.info, boxes };
  },
  ({ first, rest, size, truth, bytes, info, boxes }) => {
    assert.deepEqual(first.map(({ step }) => step), [1, 2]);
    assert.deepEqual(rest, [3, 4]);
    for (const { losses, steps } of first) {
      assert.equal(steps, 4);
      assert.ok(losses.total > 0 && Number.isFinite(losses.total));
    }
    assert.deepEqual(size.slice(0, 2), size.slice(2));
    assert.ok(truth.length > 0);
    assert.equal(info.bytes, bytes);
    assert.equal(info.precision, "exact");
    assert.ok(Array.isArray(boxes));
  },
);

withModule("supported() says yes here", async () => (await import("./autobidet.js")).supported(), ({ ok }) => assert.equal(ok, true));

test("npm packs the folder, with everything that it imports", async () => {
  const { stdout } = await promisify(execFile)("npm", ["pack", "--dry-run", "--json"], { cwd: FOLDER });
  const packed = Object.values(JSON.parse(stdout))[0].files.map(({ path }) => path);
  const wanted = ["autobidet.js", "autobidet.d.ts", "worker.js", "engine.js", "engine_bg.wasm", "package.json", "README.md", "LICENSE-MIT"];
  for (const name of ["channel", "pixels", "source", "support"]) wanted.push(`module/${name}.js`);
  assert.deepEqual(wanted.filter((name) => !packed.includes(name)), []);
});

test("the example page detects", { timeout: 3 * PATIENCE }, async () => {
  const { context, page, troubles } = await tab(browser, site.url);
  try {
    await page.goto(`${site.url}example.html`);
    await page.waitForFunction(() => document.querySelector("pre").textContent.startsWith("Ready"));
    await page.setInputFiles("input", await sample(page, "scene-1.png"));
    await page.waitForFunction(() => /^\w+ [01]\.\d\d \d+,\d+,\d+,\d+/.test(document.querySelector("pre").textContent));
    assert.deepEqual(troubles, []);
  } finally {
    await context.close();
  }
});
