// What needs a browser started in a way of its own: no WebGPU, a lost device, webcams.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { detected, drawn, launch, PATIENCE, ready, rows, server, tab } from "./open.mjs";

let site;

before(async () => {
  site = await server();
});

after(() => site?.close());

function inBrowser(name, launching, run, options) {
  test(name, { timeout: 3 * PATIENCE }, async () => {
    const browser = await launch(launching);
    try {
      const { context, page, elsewhere } = await tab(browser, site.url, options);
      await run(page, context, browser);
      assert.deepEqual(elsewhere, []);
    } finally {
      await browser.close();
    }
  });
}

const problem = async (page) => {
  await page.waitForSelector("#problem:not([hidden])");
  return page.textContent("#problem");
};

const notice = (page, pattern) =>
  page.waitForFunction((text) => new RegExp(text).test(document.querySelector("#notice [role=alert]")?.textContent ?? ""), pattern);

inBrowser("without an adapter the page says what to do, and shows no old result", { webgpu: false }, async (page) => {
  await page.goto(site.url);
  assert.match(await problem(page), /WebGPU is not there.*hardware acceleration/);
  assert.ok(await page.isVisible("#problem button"));
  assert.ok(await page.isDisabled("#copy"));
  // Detecting goes on without WebGPU, if that is wanted.
  await page.click("text=Compute on the processor");
  await detected(page);
  assert.match(await page.textContent("#facts"), /without WebGPU/);
  assert.ok((await rows(page)).length > 0);
  await page.goto(`${site.url}#train`);
  await page.waitForSelector("#view-train:not([hidden])");
  await page.click("#start");
  await page.waitForFunction(() => document.querySelector("#train-notice [role=alert]"));
});

for (const [agent, words] of [
  ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15", /Safari has WebGPU from 26/],
  ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", /Firefox has WebGPU on Windows from 141.*about:config/],
  ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", /chrome:\/\/flags/],
  ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/112.0.0.0 Safari/537.36 Edg/112.0", /from 113: update/],
]) {
  inBrowser(
    `a browser without WebGPU is told about itself: ${/(Firefox|Edg|Chrome|Safari)\//.exec(agent)[1]}`,
    {},
    async (page) => {
      await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
      await page.goto(site.url);
      assert.match(await problem(page), words);
    },
    { userAgent: agent },
  );
}

test("an insecure page is told apart from a missing WebGPU", { timeout: 3 * PATIENCE }, async () => {
  const browser = await launch({ args: ["--host-resolver-rules=MAP insecure.test 127.0.0.1"] });
  try {
    const url = site.url.replace("localhost", "insecure.test");
    const { page } = await tab(browser, url);
    await page.goto(url);
    assert.match(await problem(page), /insecure connection.*https/);
    await page.click("#webcam");
    await notice(page, "https");
  } finally {
    await browser.close();
  }
});

inBrowser("a lost device is told, and detection starts again with the same picture", {}, async (page, _, browser) => {
  await ready(page, site.url);
  await page.locator("#samples button").nth(2).click();
  await detected(page, 1);
  const width = await page.$eval("#picture", (image) => image.naturalWidth);
  const control = await browser.newBrowserCDPSession();
  // The GPU's own process dies, as with a crashed driver.
  await control.send("Browser.crashGpuProcess");
  assert.match(await problem(page), /The detector stopped.*The GPU device was lost/);
  await page.click("#problem button");
  await detected(page, 2);
  assert.ok(await page.isHidden("#problem"));
  assert.equal(await page.$eval("#picture", (image) => image.naturalWidth), width);
});

inBrowser("training tells of a lost device, and starts again", {}, async (page, _, browser) => {
  await ready(page, site.url, "#train");
  await page.fill("#steps", "5000");
  await page.fill("#batch", "2");
  await page.click("#start");
  await page.waitForFunction(() => /Step\d/.test(document.getElementById("train-facts").textContent));
  const control = await browser.newBrowserCDPSession();
  await control.send("Browser.crashGpuProcess");
  await page.waitForFunction(() => /Training ended.*device was lost/.test(document.getElementById("train-notice").textContent));
  assert.ok(await page.isVisible("#start"));
  await page.click("#start");
  await page.waitForFunction(() => /Step\d/.test(document.getElementById("train-facts").textContent));
});

const FAKE = ["--use-fake-device-for-media-stream"];

inBrowser("the webcam: one frame after the other, never two at once, until it is stopped", { args: [...FAKE, "--use-fake-ui-for-media-stream"] }, async (page) => {
  await page.addInitScript(() => {
    const counts = { now: 0, most: 0, answers: 0 };
    globalThis.counts = counts;
    const post = Worker.prototype.postMessage;
    const seen = new WeakMap();
    Worker.prototype.postMessage = function (message, ...rest) {
      if (message.method === "detect") {
        if (!seen.has(this)) {
          seen.set(this, new Set());
          this.addEventListener("message", ({ data }) => {
            if (!seen.get(this).delete(data.id)) return;
            counts.now -= 1;
            counts.answers += 1;
          });
        }
        seen.get(this).add(message.id);
        counts.now += 1;
        counts.most = Math.max(counts.most, counts.now);
      }
      return post.call(this, message, ...rest);
    };
  });
  await ready(page, site.url);
  await page.click("#webcam");
  await page.waitForFunction(() => counts.answers >= 8);
  assert.equal(await page.evaluate(() => counts.most), 1);
  assert.equal(await page.getAttribute("#webcam", "aria-pressed"), "true");
  assert.match(await page.textContent("#rate"), /^\d/);
  assert.ok((await page.$eval("#video", (video) => video.videoWidth)) > 0);
  await page.fill("#score", "0.05");
  await page.waitForFunction((answers) => counts.answers > answers, await page.evaluate(() => counts.answers));
  await page.click("#webcam");
  assert.ok(await page.isHidden("#video"));
  // The picture from before is looked at again, and then nothing more.
  await detected(page, 1);
  const answers = await page.evaluate(() => counts.answers);
  await page.waitForTimeout(800);
  assert.equal(await page.evaluate(() => counts.answers), answers);
  assert.ok((await drawn(page)) > 0);
});

inBrowser("a webcam that is not allowed is explained", { args: [...FAKE, "--deny-permission-prompts"] }, async (page) => {
  await ready(page, site.url);
  await page.click("#webcam");
  await notice(page, "not allowed.*Allow it");
  assert.equal(await page.getAttribute("#webcam", "aria-pressed"), "false");
});

inBrowser("that there is no camera is explained", { args: ["--use-fake-ui-for-media-stream"] }, async (page) => {
  await ready(page, site.url);
  await page.click("#webcam");
  await notice(page, "No camera was found");
});
