// From what a page has, an image, a video, a canvas, to what a worker can be given.
import { named } from "./channel.js";

/** Colours as the file has them, turned as the file says: the same pixels for every kind of source. */
const AS_STORED = { colorSpaceConversion: "none", imageOrientation: "from-image" };

/**
 * @param {import("../autobidet.js").Source} source
 * @returns {Promise<{source: any, transfer: Transferable[]}>} a message for the worker, and what goes over without a copy
 */
export async function sendable(source) {
  // A file is decoded in the worker, and ImageData goes through bit for bit.
  if (source instanceof Blob) return { source, transfer: [] };
  if (source instanceof ImageData) return { source, transfer: [] };
  if (typeof VideoFrame !== "undefined" && source instanceof VideoFrame) {
    // A clone, for a transferred frame would be closed for its owner.
    const frame = source.clone();
    return { source: frame, transfer: [frame] };
  }
  const bitmap = await toBitmap(source);
  return { source: bitmap, transfer: [bitmap] };
}

async function toBitmap(source) {
  if (typeof HTMLImageElement !== "undefined" && source instanceof HTMLImageElement) {
    await decoded(source);
  } else if (typeof HTMLVideoElement !== "undefined" && source instanceof HTMLVideoElement) {
    // HAVE_CURRENT_DATA: before it there is no picture to take.
    if (source.readyState < 2) throw named("InvalidStateError", "The video has no picture yet.");
  } else if (!isCanvasOrBitmap(source)) {
    throw named(
      "TypeError",
      "Not an image: give an HTMLImageElement, HTMLVideoElement, HTMLCanvasElement, OffscreenCanvas, ImageBitmap, VideoFrame, Blob or ImageData.",
    );
  }
  return createImageBitmap(source, AS_STORED);
}

async function decoded(image) {
  try {
    await image.decode();
  } catch {
    throw named("EncodingError", "The image could not be read.");
  }
}

function isCanvasOrBitmap(source) {
  return (
    (typeof HTMLCanvasElement !== "undefined" && source instanceof HTMLCanvasElement) ||
    (typeof OffscreenCanvas !== "undefined" && source instanceof OffscreenCanvas) ||
    (typeof ImageBitmap !== "undefined" && source instanceof ImageBitmap)
  );
}

/**
 * The bytes of a deploy file, with progress.
 * @param {string | URL | Blob | ArrayBuffer | Uint8Array} model
 * @param {(progress: {stage: "download", done: number, total?: number}) => void} onProgress
 * @param {AbortSignal} [signal]
 * @returns {Promise<Uint8Array>} bytes that nobody else holds
 */
export async function readModel(model, onProgress, signal) {
  if (model instanceof Uint8Array) return model.slice();
  if (model instanceof ArrayBuffer) return new Uint8Array(model.slice(0));
  if (model instanceof Blob) return new Uint8Array(await model.arrayBuffer());
  const url = String(model);
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw named("NetworkError", `The model could not be fetched from ${url}: ${error.message}`);
  }
  if (!response.ok) throw named("NetworkError", `The model could not be fetched from ${url}: HTTP ${response.status}`);
  // The length of a compressed transfer is not that of the file.
  const length = Number(response.headers.get("content-length"));
  const total = length > 0 && !response.headers.get("content-encoding") ? length : undefined;
  return collect(response.body, (done) => onProgress({ stage: "download", done, total }));
}

async function collect(stream, onDone) {
  const parts = [];
  let done = 0;
  onDone(done);
  const reader = stream.getReader();
  for (;;) {
    const { value, done: end } = await reader.read();
    if (end) break;
    parts.push(value);
    done += value.length;
    onDone(done);
  }
  const bytes = new Uint8Array(done);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
