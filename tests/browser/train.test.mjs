// Training in the page, on drawn scenes and on images annotated there, and the check view.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { browser, detected, openBoth, painted, PATIENCE, ready, sample, site, tab, watchMainThread } from "./open.mjs";

openBoth();

function inTab(name, run, options) {
  test(name, { timeout: 10 * PATIENCE }, async () => {
    const { context, page, troubles, elsewhere } = await tab(browser, site.url, options);
    try {
      await run(page, context);
      assert.deepEqual(troubles, []);
      assert.deepEqual(elsewhere, []);
    } finally {
      await context.close();
    }
  });
}

async function start(page, { steps, batch = 2 }) {
  await page.fill("#steps", String(steps));
  await page.fill("#batch", String(batch));
  await page.click("#start");
}

const status = (page, pattern) =>
  page.waitForFunction((text) => new RegExp(text).test(document.getElementById("train-status").textContent), pattern, { timeout: 5 * PATIENCE });

const stepsDone = (page, least) =>
  page.waitForFunction((number) => Number(/Step(\d+) of/.exec(document.getElementById("train-facts").textContent)?.[1]) >= number, least);

inTab("a detector learns on drawn scenes, is saved and used, and the page stays responsive", async (page) => {
  await ready(page, site.url, "#train");
  const neverBlocked = await watchMainThread(page);
  await start(page, { steps: 6 });
  await status(page, "^Finished after 6 steps, loss [\\d.]+");
  await neverBlocked("while training");
  assert.match(await page.getAttribute("#chart", "aria-label"), /^Loss after 6 of 6 steps: [\d.]+; at first [\d.]+/);
  const curve = await page.$eval("#chart .total", (line) => ({ points: line.points.length, stroke: getComputedStyle(line).stroke, ...line.getBoundingClientRect().toJSON() }));
  assert.equal(curve.points, 6);
  assert.match(curve.stroke, /^rgb/);
  assert.ok(curve.width > 300, "the curve does not fill the chart");
  assert.match(await page.textContent("#preview-text"), /^Found: .*Dashed: what is there, \w+/);
  assert.ok((await painted(page, "#preview-picture")) > 1000, "no scene is shown");
  for (const precision of ["float", "exact"]) {
    await page.selectOption("#precision", precision);
    const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-model")]);
    assert.match(saved.suggestedFilename(), /\.safetensors$/);
    assert.ok((await readFile(await saved.path())).length > 10_000);
  }
  await page.click("#use");
  await page.waitForSelector("#view-detect:not([hidden])");
  await detected(page, 1);
  assert.ok(await page.isVisible("#shipped"));
});

inTab("training stops when asked, and goes on", async (page) => {
  await ready(page, site.url, "#train");
  await start(page, { steps: 5000 });
  await stepsDone(page, 2);
  assert.ok(await page.isDisabled("#steps"));
  await page.click("#stop");
  await status(page, "^Stopped after \\d+ steps");
  const stopped = Number(/after (\d+)/.exec(await page.textContent("#train-status"))[1]);
  await page.waitForTimeout(700);
  assert.match(await page.textContent("#train-facts"), new RegExp(`^Step${stopped} of 5000`));
  assert.ok(await page.isVisible("#keep"));
  await page.click("#continue");
  await stepsDone(page, stopped + 2);
  await page.click("#stop");
  await status(page, "^Stopped");
});

inTab("own images: boxes by pointer and by keyboard, classes typed and chosen, then training", async (page) => {
  await ready(page, site.url, "#train");
  await page.check("input[value=images]");
  await page.click("#start");
  await page.waitForFunction(() => /nothing to learn/.test(document.getElementById("train-notice").textContent));

  await page.setInputFiles("#own-files", [await sample(page, "scene-1.png"), await sample(page, "scene-2.png")]);
  await page.waitForFunction(() => document.querySelectorAll("#thumbs button").length === 2);
  await page.locator("#thumbs button").first().click();
  await page.fill("#class-name", "round");
  await page.keyboard.press("Enter");
  const layer = await page.locator("#layer").boundingBox();
  const at = (x, y) => [layer.x + layer.width * x, layer.y + layer.height * y];
  const drag = async (from, to) => {
    await page.mouse.move(...at(...from));
    await page.mouse.down();
    await page.mouse.move(...at((from[0] + to[0]) / 2, (from[1] + to[1]) / 2));
    await page.mouse.move(...at(...to));
    await page.mouse.up();
  };
  const boxes = () => page.$$eval("#boxes li", (all) => all.map((item) => [item.querySelector("select").selectedOptions[0].text, item.querySelector(".figure").textContent]));
  const image = await page.$eval("#edit-image", ({ naturalWidth, naturalHeight }) => [naturalWidth, naturalHeight]);
  const near = (text, parts) => {
    const told = text.split(" × ").map(Number);
    parts.forEach((part, axis) => assert.ok(Math.abs(told[axis] - part * image[axis]) <= 2, `${text} is not ${parts} of ${image}`));
  };

  await drag([0.1, 0.1], [0.4, 0.5]);
  near((await boxes())[0][1], [0.3, 0.4]);
  // A corner of the selected box, and the box itself.
  await drag([0.4, 0.5], [0.5, 0.7]);
  near((await boxes())[0][1], [0.4, 0.6]);
  await drag([0.3, 0.4], [0.4, 0.4]);
  near((await boxes())[0][1], [0.4, 0.6]);
  await page.fill("#class-name", "edgy");
  await page.click("#class-form button[type=submit]");
  await drag([0.6, 0.05], [0.9, 0.3]);
  assert.deepEqual((await boxes()).map(([name]) => name), ["round", "edgy"]);

  await page.focus("#add-box");
  await page.keyboard.press("Enter");
  const placed = () => page.$eval(".abox:focus", (node) => node.getAttribute("aria-label"));
  const first = await placed();
  await page.keyboard.press("ArrowRight");
  const moved = await placed();
  assert.notEqual(moved, first);
  assert.equal(moved.split(" at ")[0], first.split(" at ")[0]);
  await page.keyboard.press("Shift+ArrowDown");
  assert.notEqual((await placed()).split(" at ")[0], moved.split(" at ")[0]);
  assert.match(await placed(), /^edgy/);
  await page.keyboard.press("1");
  assert.match(await placed(), /^round/);
  await page.keyboard.press("Delete");
  assert.equal((await boxes()).length, 2);
  await page.selectOption("#boxes li:first-child select", { label: "edgy" });
  assert.equal((await boxes())[0][0], "edgy");
  await page.selectOption("#boxes li:first-child select", { label: "round" });

  // A press without a drag adds nothing.
  await page.mouse.click(...at(0.95, 0.95));
  assert.equal((await boxes()).length, 2);
  await page.locator("#thumbs button").nth(1).click();
  await page.click("#add-box");
  await start(page, { steps: 3 });
  await status(page, "^Finished after 3 steps");
  assert.match(await page.textContent("#preview-text"), /round|edgy/);
});

inTab(
  "boxes are drawn with a finger",
  async (page, context) => {
    await ready(page, site.url, "#train");
    await page.check("input[value=images]");
    await page.setInputFiles("#own-files", [await sample(page)]);
    await page.waitForSelector("#editor:not([hidden])");
    await page.locator("#layer").scrollIntoViewIfNeeded();
    const { x, y, width, height } = await page.locator("#layer").boundingBox();
    const touch = await context.newCDPSession(page);
    const send = (type, part) =>
      touch.send("Input.dispatchTouchEvent", { type, touchPoints: type === "touchEnd" ? [] : [{ x: x + width * part, y: y + height * part }] });
    const scrolled = await page.evaluate(() => scrollY);
    await send("touchStart", 0.2);
    for (const part of [0.3, 0.4, 0.5, 0.6]) await send("touchMove", part);
    await send("touchEnd");
    await page.waitForSelector(".abox");
    assert.equal(await page.locator("#boxes li").count(), 1);
    assert.equal(await page.evaluate(() => scrollY), scrolled, "the page scrolled instead");
  },
  { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
);

inTab(
  "the check view traces every layer and runs the self-test, and both are copied",
  async (page) => {
    await ready(page, site.url, "#check");
    for (const name of ["trace", "selftest"]) {
      await page.click(`#${name}`);
      await page.waitForFunction((id) => !document.getElementById(`copy-${id}`).disabled, name, { timeout: 9 * PATIENCE });
      const lines = await page.locator(`#${name}-table tbody tr`).count();
      assert.ok(lines > 5, `${name}: ${lines} lines`);
      const told = await page.textContent(`#${name}-status`);
      if (name === "trace") assert.match(told, new RegExp(`^All ${lines} steps agree`));
      else assert.match(told, /^All \d+ cases passed|^\d+ of \d+ cases failed/);
      await page.click(`#copy-${name}`);
      await page.waitForFunction((id) => document.getElementById(`copy-${id}`).textContent === "Copied", name);
      assert.match(await page.evaluate(() => navigator.clipboard.readText()), /adapter/);
    }
  },
  { permissions: ["clipboard-read", "clipboard-write"] },
);
