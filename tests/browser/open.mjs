// A browser, the page in it, and what the tests ask of both.
//
// AUTOBIDET_WEB: the built folder (default ../../target/web). AUTOBIDET_CHROMIUM: the browser (default /usr/bin/chromium).
// AUTOBIDET_SLACK: how many times longer than promised everything may take, for a machine that does other work too (default 1).
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { resolve } from "node:path";
import { chromium } from "playwright-core";
import { serve } from "./serve.mjs";

export const FOLDER = resolve(process.env.AUTOBIDET_WEB ?? fileURLToPath(new URL("../../target/web", import.meta.url)));
export const SLACK = Number(process.env.AUTOBIDET_SLACK ?? 1);

/** How long anything may take that computes, here perhaps without a GPU. */
export const PATIENCE = 60_000 * SLACK;

/** @param {{webgpu?: boolean, args?: string[]}} [options] */
export function launch({ webgpu = true, args = [] } = {}) {
  return chromium.launch({
    executablePath: process.env.AUTOBIDET_CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    chromiumSandbox: false,
    args: [
      ...(webgpu ? ["--enable-unsafe-webgpu"] : []),
      "--disable-background-networking",
      "--disable-quic",
      "--no-first-run",
      "--disable-sync",
      ...args,
    ],
  });
}

/** The page lies under a path of its own, for it must work under any. */
export const server = () => serve(FOLDER, { base: "/some/path/" });

/**
 * A tab that notes everything that must never happen: errors, refusals of the content security policy, requests to elsewhere.
 * @param {import("playwright-core").Browser} browser
 * @param {string} url of the server
 * @param {object} [options] of the context
 */
export async function tab(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const troubles = [];
  const elsewhere = [];
  page.on("pageerror", (error) => troubles.push(error.message));
  page.on("console", (message) => message.type() === "error" && troubles.push(message.text()));
  context.on("request", (request) => {
    const own = request.url().startsWith(url) || /^(blob|data):/.test(request.url());
    if (!own || request.method() !== "GET") elsewhere.push(`${request.method()} ${request.url()}`);
  });
  return { context, page, troubles, elsewhere };
}

/** How often objects were looked for in a still picture. */
export const detections = (page) => page.evaluate(() => performance.getEntriesByName("detected").length);

/** Waits for one more than there were. */
export const detected = (page, more = 0) =>
  page.waitForFunction((least) => performance.getEntriesByName("detected").length > least, more, { timeout: PATIENCE });

/** Opens a view and waits for the first detection. */
export async function ready(page, url, hash = "") {
  await page.goto(`${url}${hash}`);
  await detected(page);
}

/** What "Copy as JSON" would copy, without the clipboard. */
export const rows = (page) =>
  page.$$eval("#found tbody tr:not([hidden])", (all) =>
    all.map((row) => ({ name: row.cells[0].textContent, score: Number(row.cells[1].textContent) })),
  );

/** How many pixels a canvas has that are not empty. */
export const painted = (page, selector) =>
  page.$eval(selector, (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let at = 3; at < data.length; at += 4) sum += data[at] > 0 ? 1 : 0;
    return sum;
  });

/** A picture from the page's samples, as a file to choose. */
export async function sample(page, name = "scene-2.png") {
  const bytes = await page.evaluate(async (path) => {
    const response = await fetch(path);
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return [...new Uint8Array(await response.arrayBuffer())];
  }, `samples/${name}`);
  return { name, mimeType: "image/png", buffer: Buffer.from(bytes) };
}

/** Tasks of the main thread over 50 ms, from now on. */
export const watchLongTasks = (page) =>
  page.evaluate(() => {
    globalThis.longTasks = [];
    new PerformanceObserver((list) => {
      for (const { duration, startTime } of list.getEntries()) globalThis.longTasks.push({ duration, startTime });
    }).observe({ type: "longtask" });
  });

/** Fails when there was one; first proves that one would have been seen. */
export async function noLongTasks(page, during) {
  const found = await page.evaluate(async () => {
    const until = longTasks.length;
    const begin = performance.now();
    await new Promise((done) => {
      setTimeout(() => {
        while (performance.now() - begin < 90);
        done();
      });
    });
    await new Promise((done) => setTimeout(done, 200));
    return { before: longTasks.slice(0, until), after: longTasks.length };
  });
  assert.ok(found.after > found.before.length, "the observer sees no long tasks at all");
  const long = found.before.filter(({ duration }) => duration > 50 * SLACK);
  assert.deepEqual(long, [], `the main thread was blocked ${during}`);
}
