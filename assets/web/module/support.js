// Whether WebGPU is there, and what to do if it is not.

/**
 * What is missing, as far as it can be told without asking for an adapter.
 * @param {"auto" | "webgpu" | "cpu"} [device] what is to compute
 * @returns {{ok: false, code: string, reason: string, remedy: string} | undefined}
 */
export function missing(device = "webgpu") {
  const gpu = device !== "cpu";
  if (gpu && globalThis.isSecureContext === false) {
    return {
      ok: false,
      code: "insecure",
      reason: "This page was opened over an insecure connection, where browsers keep WebGPU away.",
      remedy: "Open it over https, or from this computer as http://localhost.",
    };
  }
  if (gpu && !globalThis.navigator?.gpu) {
    return { ok: false, code: "no-webgpu", reason: "This browser has no WebGPU, or it is switched off.", remedy: browserRemedy() };
  }
  if (typeof WebAssembly === "undefined" || typeof Worker === "undefined" || typeof OffscreenCanvas === "undefined") {
    return {
      ok: false,
      code: "old-browser",
      reason: "This browser lacks WebAssembly, workers or OffscreenCanvas.",
      remedy: "Use a current Chrome, Edge, Safari or Firefox.",
    };
  }
  return undefined;
}

/** What to do in the browser at hand; a guess from its name, so every sentence also holds by itself. */
function browserRemedy() {
  const agent = globalThis.navigator?.userAgent ?? "";
  const android = /Android/.test(agent);
  if (/Firefox\//.test(agent)) {
    return android
      ? "Firefox on Android does not switch WebGPU on yet: use Chrome 121 or newer."
      : "Firefox has WebGPU on Windows from 141 and on Macs with Apple silicon from 145. Elsewhere set dom.webgpu.enabled to true in about:config, or use Chrome or Edge.";
  }
  if (/(Chrome|Chromium|Edg)\//.test(agent)) {
    if (android) return "Chrome on Android has WebGPU from 121, on Android 12 or newer.";
    return /Linux/.test(agent)
      ? "On Linux open chrome://flags, set “Unsafe WebGPU Support” to Enabled (for some drivers also “Vulkan”) and start the browser anew. Elsewhere Chrome and Edge have WebGPU from 113."
      : "Chrome and Edge have WebGPU from 113: update the browser, and switch on hardware acceleration in its system settings.";
  }
  if (/Safari\//.test(agent)) {
    return "Safari has WebGPU from 26 (macOS, iOS, iPadOS, visionOS): update the system, or on a Mac use Chrome or Edge.";
  }
  return "Use Chrome or Edge 113 or newer, Safari 26 or newer, or Firefox 141 or newer on Windows.";
}

/**
 * Whether the engine can run here, and if not, why and what to do.
 * @returns {Promise<import("../autobidet.js").Support>}
 */
export async function supported() {
  const without = missing();
  if (without) return without;
  let adapter;
  try {
    adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  } catch {
    adapter = null;
  }
  if (!adapter) {
    return {
      ok: false,
      code: "no-adapter",
      reason: "The browser has WebGPU but gives no adapter: it knows no graphics driver that it trusts.",
      remedy:
        "Switch on hardware acceleration in the browser's settings, update the graphics driver and start the browser anew. " +
        "chrome://gpu says what Chrome and Edge think of it; on Linux “Unsafe WebGPU Support” in chrome://flags may be needed.",
    };
  }
  const info = adapter.info ?? {};
  const software = Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) || /swiftshader|llvmpipe|basic render/i.test(
    `${info.architecture} ${info.device} ${info.description}`,
  );
  return software
    ? { ok: true, software, note: "The adapter computes on the processor: it works, and it is slow." }
    : { ok: true, software };
}
