// A browser, the page in it, and what the tests ask of both.
//
// AUTOBIDET_WEB: the built folder (default ../../target/web). AUTOBIDET_CHROMIUM: the browser (default /usr/bin/chromium).
// AUTOBIDET_SLACK: how many times longer than promised everything may take, for a machine that does other work too (default 1).
import assert from "node:assert/strict";
import { after, before } from "node:test";
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

/** The browser and the page's server of a test file that called `openBoth`. */
export let browser;
export let site;

/** Opens both before the file's tests and closes them after. */
export function openBoth() {
  before(async () => {
    site = await server();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await site?.close();
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

/** How many boxes are drawn over the picture; all must lie in it and be seen. */
export const drawn = (page, selector = "#overlay") =>
  page.$eval(selector, (root) => {
    const frame = root.getBoundingClientRect();
    const boxes = [...root.querySelectorAll("g")];
    for (const box of boxes) {
      const { left, right, top, bottom } = box.querySelector("rect").getBoundingClientRect();
      const inside = left >= frame.left - 4 && right <= frame.right + 4 && top >= frame.top - 4 && bottom <= frame.bottom + 4;
      if (!inside || right - left < 2 || bottom - top < 2) throw new Error(`a box is drawn at ${[left, top, right, bottom]}`);
    }
    return boxes.length;
  });

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

/**
 * Watches the main thread from now on.
 *
 * A task is long when it takes over 50 ms and works for a good part of them: what the system merely did not let run, on a machine
 * whose processors all compute, is not the page's doing. Waiting without working counts from 250 ms.
 * @param {import("playwright-core").Page} page
 * @returns {Promise<(during: string) => Promise<void>>} fails when there was a long task; first proves that it would have seen one
 */
export async function watchMainThread(page) {
  const browser = page.context().browser();
  await browser.startTracing(page, { categories: ["toplevel", "blink.user_timing", "disabled-by-default-devtools.timeline"] });
  return async (during) => {
    await page.evaluate(async () => {
      // Tasks before this are judged, those after it are the proof.
      await new Promise((done) => setTimeout(done, 100));
      performance.mark("proof");
      await new Promise((done) => setTimeout(done, 100));
      const begin = performance.now();
      while (performance.now() - begin < 150);
      await new Promise((done) => setTimeout(done, 100));
    });
    const { traceEvents } = JSON.parse(await browser.stopTracing());
    const { pid, ts: proof } = traceEvents.find(({ name }) => name === "proof") ?? {};
    assert.ok(pid, "the trace lacks the page's own mark");
    const main = traceEvents.find(({ name, pid: own, args }) => name === "thread_name" && own === pid && args.name === "CrRendererMain").tid;
    const tasks = traceEvents.filter((event) => event.name === "RunTask" && event.pid === pid && event.tid === main && event.dur > 50_000 * SLACK);
    const long = tasks.filter(({ dur, tdur }) => tdur > 25_000 * SLACK || dur > 250_000 * SLACK);
    assert.ok(long.some(({ ts }) => ts > proof), "no task is seen, not even one of 150 ms");
    const told = long.filter(({ ts }) => ts < proof).map(({ dur, tdur }) => `${Math.round(dur / 1000)} ms, ${Math.round(tdur / 1000)} of them working`);
    assert.deepEqual(told, [], `the main thread was blocked ${during}`);
  };
}
