// In the worker: from a picture to the bytes that the engine reads.

/** Up to this many pixels a side the engine gets the picture untouched: its own resizing is part of being exact. */
const UNTOUCHED = 4096;
/** Larger pictures are scaled down to this on the long side. */
const REDUCED = 2048;

let canvas;

/**
 * @param {Blob | ImageData | ImageBitmap | VideoFrame} source closed here where it can be
 * @returns {Promise<{rgba: Uint8ClampedArray, width: number, height: number, full: {width: number, height: number}}>}
 *   `full`: the size of the source, in whose pixels boxes are told
 */
export async function pixels(source) {
  if (source instanceof ImageData) {
    if (!(source.data instanceof Uint8ClampedArray)) throw typed("TypeError", "ImageData must hold 8 bits a channel.");
    if (Math.max(source.width, source.height) <= UNTOUCHED) {
      const { data: rgba, width, height } = source;
      return { rgba, width, height, full: { width, height } };
    }
  }
  let drawn = source;
  if (source instanceof Blob || source instanceof ImageData) drawn = await decode(source);
  try {
    return draw(drawn);
  } finally {
    drawn.close();
  }
}

async function decode(source) {
  try {
    return await createImageBitmap(source, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  } catch {
    throw typed("EncodingError", "The image could not be read: it is damaged, or of a kind that this browser does not know.");
  }
}

function draw(image) {
  const full = { width: image.displayWidth ?? image.width, height: image.displayHeight ?? image.height };
  const side = Math.max(full.width, full.height);
  const scale = side > UNTOUCHED ? REDUCED / side : 1;
  const width = Math.max(1, Math.round(full.width * scale));
  const height = Math.max(1, Math.round(full.height * scale));
  if (canvas?.width !== width || canvas?.height !== height) canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = scale !== 1;
  context.imageSmoothingQuality = "high";
  // What is transparent must not show the picture before.
  context.clearRect(0, 0, width, height);
  context.drawImage(image, 0, 0, width, height);
  return { rgba: context.getImageData(0, 0, width, height).data, width, height, full };
}

function typed(name, message) {
  const error = new Error(message);
  error.name = name;
  return error;
}
