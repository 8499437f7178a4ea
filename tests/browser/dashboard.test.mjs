// `autobidet serve` beside `autobidet train`: the dashboard of a run while it trains, and the page under the server's own headers.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { FOLDER, launch, PATIENCE, ready, rows, tab } from "./open.mjs";

const BIN = resolve(process.env.AUTOBIDET_BIN ?? fileURLToPath(new URL("../../target/release/autobidet", import.meta.url)));

let browser;
let work;
let server;
let address;

before(async () => {
  browser = await launch();
  work = await mkdtemp(join(tmpdir(), "autobidet-dashboard-"));
  server = spawn(BIN, ["serve", "--folder", work, "--page", FOLDER, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  // It prints where it is.
  address = await new Promise((done, failed) => {
    let text = "";
    server.stdout.on("data", (piece) => {
      text += piece;
      const found = /http:\/\/127\.0\.0\.1:\d+\//.exec(text);
      if (found) done(found[0]);
    });
    server.on("exit", (code) => failed(new Error(`serve ended with ${code}: ${text}`)));
  });
});

after(async () => {
  await browser?.close();
  server?.removeAllListeners("exit");
  server?.kill("SIGINT");
  if (work) await rm(work, { recursive: true, force: true });
});

test("a run is followed while it trains, to its end", { timeout: 5 * PATIENCE }, async () => {
  const { context, page, troubles, elsewhere } = await tab(browser, address);
  try {
    const run = join(work, "live");
    const settings = ["--steps", "60", "--batch", "8", "--eval-every", "30"];
    const trains = spawn(BIN, ["train", "--data", "scenes", "--device", "cpu", "--out", run, ...settings], { stdio: "ignore" });
    const ended = new Promise((done) => trains.on("exit", done));
    // The dashboard is there before the run is.
    await page.goto(`${address}runs/live/`);
    const figures = () => page.textContent("#figures");
    await page.waitForFunction(() => document.getElementById("state").textContent === "training", undefined, { timeout: PATIENCE });
    await page.waitForFunction(() => document.getElementById("progress").value > 0, undefined, { timeout: PATIENCE });
    const early = await page.evaluate(() => document.getElementById("progress").value);
    assert.ok(early < 1, "it was over before it was seen");
    await page.waitForFunction((least) => document.getElementById("progress").value > least, early, { timeout: PATIENCE });
    assert.equal(await ended, 0);
    await page.waitForFunction(() => document.getElementById("state").textContent === "finished", undefined, { timeout: PATIENCE });
    assert.match(await figures(), /60/);
    // Curves are drawn, and the last evaluation's picture is there.
    const drawn = await page.$$eval("#charts path, #charts polyline", (all) =>
      all.filter((p) => (p.getAttribute("d") ?? p.getAttribute("points") ?? "").length > 20).length,
    );
    assert.ok(drawn >= 3, `${drawn} curves are drawn`);
    await page.waitForFunction(() => document.querySelector("#latest:not([hidden]) img")?.naturalWidth > 100, undefined, { timeout: PATIENCE });
    assert.deepEqual(troubles, []);
    assert.deepEqual(elsewhere, []);
  } finally {
    await context.close();
  }
});

test("the detector page works under the server's own headers", { timeout: 3 * PATIENCE }, async () => {
  const { context, page, troubles } = await tab(browser, address);
  try {
    await ready(page, address);
    assert.ok((await rows(page)).length > 0);
    assert.deepEqual(troubles, []);
  } finally {
    await context.close();
  }
});
