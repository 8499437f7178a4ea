// Clicks through the built page's first view, as people do.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { browser, detected, detections, drawn, openBoth, PATIENCE, ready, rows, sample, site, SLACK, tab, watchMainThread } from "./open.mjs";

openBoth();

/** Runs in a tab of its own, in which nothing may go wrong and nothing may come from elsewhere. */
function inTab(name, run, { options, troubled = false } = {}) {
  test(name, { timeout: 3 * PATIENCE }, async () => {
    const { context, page, troubles, elsewhere } = await tab(browser, site.url, options);
    try {
      await run(page, context);
      if (!troubled) assert.deepEqual(troubles, []);
      assert.deepEqual(elsewhere, []);
    } finally {
      await context.close();
    }
  });
}

inTab("the first detection comes by itself, within three seconds", async (page) => {
  await ready(page, site.url);
  const first = await page.evaluate(() => performance.getEntriesByName("detected")[0].startTime);
  assert.ok(first <= 3000 * SLACK, `first detection after ${Math.round(first)} ms`);
  const found = await rows(page);
  assert.ok(found.length > 0, "nothing was found in the first sample");
  assert.match(await page.textContent("#count"), new RegExp(`^${found.length} object`));
  assert.equal(await drawn(page), found.length);
  assert.ok(await page.isHidden("#loading"));
  const facts = await page.textContent("#facts");
  assert.match(facts, /Binary layerspacked/);
  assert.match(facts, /Size[\d.]+ [kM]B/);
  assert.match(facts, /Adapter\S/);
  assert.match(await page.textContent("#rate"), /^\d/);
  assert.equal(await page.locator("#times > div").count(), 5);
});

inTab("loading tells its stages and the bytes of the model", async (page) => {
  const told = [];
  await page.exposeFunction("tell", (text) => told.push(text));
  await page.addInitScript(() => {
    addEventListener("DOMContentLoaded", () => {
      const loading = document.getElementById("loading");
      const look = () => {
        const busy = [...loading.querySelectorAll("li[data-state=busy]")].map((row) => row.textContent);
        if (!loading.hidden) globalThis.tell(busy.join("|"));
      };
      new MutationObserver(look).observe(loading, { subtree: true, attributes: true, childList: true, characterData: true });
    });
  });
  await ready(page, site.url);
  for (const stage of ["Engine", "Device", "Network"]) {
    assert.ok(told.some((text) => text.includes(stage)), `${stage} was never shown: ${told}`);
  }
  assert.ok(told.some((text) => /Model.*\d+ [kM]B of \d/.test(text) || /Model[\d.]+ [kM]B/.test(text)), `no bytes were shown: ${told}`);
});

inTab("the slider filters at once, without asking the engine again", async (page) => {
  await ready(page, site.url);
  const many = await page.evaluate(async () => {
    const slider = document.getElementById("score");
    const visible = () => document.querySelectorAll("#found tbody tr:not([hidden])").length;
    const set = (value) => {
      slider.value = value;
      slider.dispatchEvent(new Event("input"));
      return visible();
    };
    return { low: set(0.05), middle: set(0.5), high: set(0.95), again: set(0.05) };
  });
  assert.ok(many.low >= many.middle && many.middle >= many.high, JSON.stringify(many));
  assert.ok(many.low > many.high, "the slider changes nothing");
  assert.equal(many.again, many.low);
  assert.equal(await detections(page), 1);
  assert.equal(await drawn(page), many.low);
  await page.fill("#score", "0.95");
  for (const { score } of await rows(page)) assert.ok(score >= 0.95);
  assert.equal(await drawn(page), many.high);
});

inTab(
  "the result is copied as JSON",
  async (page) => {
    await ready(page, site.url);
    await page.click("#copy");
    await page.waitForFunction(() => document.getElementById("copy").textContent === "Copied");
    const copied = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
    const shown = await rows(page);
    assert.deepEqual(copied.boxes.map(({ label, score }) => ({ name: label, score: Number(score.toFixed(2)) })), shown);
    for (const { box: [x0, y0, x1, y1] } of copied.boxes) {
      assert.ok(0 <= x0 && x0 < x1 && x1 <= copied.width && 0 <= y0 && y0 < y1 && y1 <= copied.height, `${[x0, y0, x1, y1]}`);
    }
    for (const stage of ["grab", "prepare", "network", "decode", "total"]) assert.ok(copied.times[stage] >= 0, stage);
  },
  { options: { permissions: ["clipboard-read", "clipboard-write"] } },
);

inTab("the picture is saved with its boxes, in its own size", async (page) => {
  await ready(page, site.url);
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  assert.match(saved.suggestedFilename(), /\.png$/);
  const bytes = [...(await readFile(await saved.path()))];
  const differing = await page.evaluate(async (data) => {
    const bitmap = await createImageBitmap(new Blob([new Uint8Array(data)]));
    const shown = document.getElementById("picture");
    const { naturalWidth: width, naturalHeight: height } = shown;
    if (bitmap.width !== width || bitmap.height !== height) return `${bitmap.width} × ${bitmap.height}`;
    const pixels = (image) => {
      const context = new OffscreenCanvas(width, height).getContext("2d");
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, width, height).data;
    };
    const [a, b] = [pixels(bitmap), pixels(shown)];
    return a.reduce((sum, value, at) => sum + (value === b[at] ? 0 : 1), 0) / a.length;
  }, bytes);
  assert.ok(differing > 0.002 && differing < 0.7, `${differing}`);
});

inTab("an image is chosen, dropped and pasted", async (page) => {
  await ready(page, site.url);
  const file = await sample(page);
  await page.setInputFiles("#image-file", { ...file, name: "chosen.png" });
  await detected(page, 1);
  for (const [way, number] of [["drop", 2], ["paste", 3]]) {
    await page.evaluate(
      async ([type, name]) => {
        const blob = await (await fetch("samples/scene-3.png")).blob();
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([blob], name, { type: "image/png" }));
        const init = { bubbles: true, cancelable: true };
        if (type === "drop") document.body.dispatchEvent(new DragEvent("drop", { ...init, dataTransfer }));
        else document.body.dispatchEvent(new ClipboardEvent("paste", { ...init, clipboardData: dataTransfer }));
      },
      [way, `${way}.png`],
    );
    await detected(page, number);
  }
  const [width, shown] = await page.evaluate(async () => {
    const third = await createImageBitmap(await (await fetch("samples/scene-3.png")).blob());
    return [third.width, document.getElementById("picture").naturalWidth];
  });
  assert.equal(shown, width);
});

inTab("a bad file is told, and what was there stays", async (page) => {
  await ready(page, site.url);
  const shown = await rows(page);
  const name = await page.textContent("#facts");
  const notice = (pattern) => page.waitForFunction((text) => new RegExp(text).test(document.querySelector("#notice [role=alert]")?.textContent ?? ""), pattern);
  await page.setInputFiles("#image-file", { name: "broken.png", mimeType: "image/png", buffer: Buffer.from("no image") });
  await notice("^broken\\.png could not be read");
  assert.deepEqual(await rows(page), shown);
  await page.setInputFiles("#model-file", { name: "broken.safetensors", mimeType: "", buffer: Buffer.from("no deploy file") });
  await notice("^That file cannot be used, so the model stays");
  assert.equal(await page.textContent("#facts"), name);
  assert.ok(await page.isHidden("#problem"));
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["words"], "letter.txt", { type: "text/plain" }));
    document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
  });
  await notice("^letter\\.txt is neither");
  await page.click("#notice button");
  assert.ok(await page.isHidden("#notice"));
  // The detector still works.
  await page.locator("#samples button").nth(1).click();
  await detected(page, 1);
});

inTab("a deploy file is loaded from disk, and the shipped one again", async (page) => {
  await ready(page, site.url);
  const before = await rows(page);
  const bytes = await page.evaluate(async () => [...new Uint8Array(await (await fetch("models/scenes.safetensors")).arrayBuffer())]);
  await page.setInputFiles("#model-file", { name: "mine.safetensors", mimeType: "", buffer: Buffer.from(bytes) });
  await detected(page, 1);
  assert.deepEqual(await rows(page), before);
  await page.click("#shipped");
  await detected(page, 2);
  assert.ok(await page.isHidden("#shipped"));
});

inTab("everything is reached and worked with the keyboard, and the focus is seen", async (page) => {
  await ready(page, site.url);
  const reached = new Set();
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press("Tab");
    const focus = await page.evaluate(() => {
      const node = document.activeElement;
      const style = getComputedStyle(node);
      const box = node.getBoundingClientRect();
      return { id: node.id, tag: node.tagName, outline: `${style.outlineStyle} ${style.outlineWidth}`, seen: box.width > 0 && box.height > 0 };
    });
    if (focus.tag === "BODY") break;
    assert.match(focus.outline, /^(solid|auto) [1-9]/, `${focus.tag} ${focus.id} shows no focus`);
    assert.ok(focus.seen, `${focus.tag} ${focus.id} has no size`);
    reached.add(focus.id);
    if (focus.id === "score") {
      const old = await page.inputValue("#score");
      await page.keyboard.press("ArrowRight");
      assert.ok(Number(await page.inputValue("#score")) > Number(old));
    }
  }
  for (const id of ["choose", "paste", "webcam", "score", "copy", "save", "open-model"]) assert.ok(reached.has(id), `${id} was not reached`);
  await page.locator("#samples button").nth(1).focus();
  await page.keyboard.press("Enter");
  await detected(page, 1);
  await page.locator("nav a").nth(1).focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("#view-train:not([hidden])");
});

for (const colorScheme of ["light", "dark"]) {
  inTab(
    `a phone's width, ${colorScheme}: nothing is wider than the screen, and buttons are large enough for a finger`,
    async (page) => {
      for (const view of ["detect", "train", "check"]) {
        await page.goto(`${site.url}#${view}`);
        await page.waitForSelector(`#view-${view}:not([hidden])`);
        if (view === "train") await page.check("input[value=images]");
        const { wide, low } = await page.evaluate(() => ({
          wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
          low: [...document.querySelectorAll("button")].filter((node) => node.offsetHeight && node.offsetHeight < 30).map((node) => node.textContent),
        }));
        assert.equal(wide, 0, `${view} is ${wide} pixels too wide`);
        assert.deepEqual(low, []);
      }
      const [ink, paper] = await page.evaluate(() => {
        const light = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 3;
        const style = getComputedStyle(document.body);
        return [light(style.color), light(style.backgroundColor)];
      });
      assert.ok(colorScheme === "dark" ? ink > paper + 100 : paper > ink + 100, `${ink} on ${paper}`);
    },
    { options: { viewport: { width: 390, height: 844 }, colorScheme, hasTouch: true, isMobile: true } },
  );
}

inTab("the main thread is never blocked while detecting", async (page) => {
  await ready(page, site.url);
  const neverBlocked = await watchMainThread(page);
  for (let number = 1; number <= 8; number++) {
    await page.locator("#samples button").nth(number % 2).click();
    await detected(page, number);
  }
  await neverBlocked("while detecting");
});

inTab(
  "a crash of the engine is told, and it starts again",
  async (page) => {
    await ready(page, site.url);
    await page.workers()[0].evaluate(() => {
      console.error("panicked at a test");
      setTimeout(() => {
        throw new WebAssembly.RuntimeError("unreachable");
      });
    });
    await page.waitForSelector("#problem:not([hidden])");
    assert.match(await page.textContent("#problem"), /The engine stopped.*panicked at a test/);
    await page.click("#problem button");
    await detected(page, 1);
    assert.ok(await page.isHidden("#problem"));
  },
  { troubled: true },
);

for (const [file, words] of [
  ["engine_bg.wasm", /engine could not be fetched.*404/],
  ["worker.js", /worker could not be started/],
  ["models/scenes.safetensors", /model could not be fetched.*404/],
]) {
  inTab(
    `without ${file} the page says so`,
    async (page) => {
      await page.route(`**/${file}`, (route) => route.fulfill({ status: 404 }));
      await page.goto(site.url);
      await page.waitForSelector("#problem:not([hidden])");
      assert.match(await page.textContent("#problem"), words);
      await page.unroute(`**/${file}`);
      await page.click("#problem button");
      await detected(page);
    },
    { troubled: true },
  );
}
