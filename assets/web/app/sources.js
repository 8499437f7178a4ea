// Where pictures and deploy files come from: the file chooser, a drop, the clipboard, the samples.
import { byId, el } from "./dom.js";

/** The pictures that lie in samples/; one that is not there is not shown. */
const SAMPLES = ["scene-1.png", "scene-2.png", "scene-3.png", "scene-4.png"];

/** @param {File} file */
export const isModel = (file) => file.name.toLowerCase().endsWith(".safetensors");

/** @param {File} file some systems know no type for newer kinds of images */
export const isImage = (file) => file.type.startsWith("image/") || /\.(avif|bmp|gif|jpe?g|png|webp)$/i.test(file.name);

/**
 * @param {{onImage: (image: Blob, name: string) => void, onModel: (file: File) => void, onTrouble: (text: string) => void}} to
 */
export function connectSources({ onImage, onModel, onTrouble }) {
  const take = (file) => {
    if (isModel(file)) onModel(file);
    else if (isImage(file)) onImage(file, file.name);
    else onTrouble(`${file.name} is neither an image nor a deploy file (.safetensors).`);
  };

  connectButton(byId("choose"), byId("image-file"), (file) => onImage(file, file.name));
  connectButton(byId("open-model"), byId("model-file"), onModel);
  byId("paste").addEventListener("click", () => pasteByButton(onImage, onTrouble));
  document.addEventListener("paste", (event) => {
    if (byId("view-detect").hidden) return;
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
  connectDrop(document.documentElement, (files) => {
    if (!byId("view-detect").hidden && files[0]) take(files[0]);
  });
}

/**
 * A button that opens a file chooser.
 * @param {HTMLButtonElement} button
 * @param {HTMLInputElement} input
 * @param {(file: File) => void} onFile called for each
 */
export function connectButton(button, input, onFile) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    for (const file of input.files) onFile(file);
    // The same file can be chosen again.
    input.value = "";
  });
}

/**
 * Files dropped on an element; while they are over it, it has the class `dropping`.
 * @param {HTMLElement} target
 * @param {(files: File[]) => void} onFiles
 */
export function connectDrop(target, onFiles) {
  const withFiles = (event) => event.dataTransfer?.types.includes("Files");
  target.addEventListener("dragover", (event) => {
    if (!withFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    target.classList.add("dropping");
  });
  target.addEventListener("dragleave", (event) => {
    if (!target.contains(event.relatedTarget)) target.classList.remove("dropping");
  });
  target.addEventListener("drop", (event) => {
    target.classList.remove("dropping");
    if (!withFiles(event)) return;
    event.preventDefault();
    onFiles([...event.dataTransfer.files]);
  });
}

async function pasteByButton(onImage, onTrouble) {
  const nothing = "There is no image in the clipboard. Copy one, then paste it here with the button or the keyboard (Ctrl+V, ⌘V).";
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((name) => name.startsWith("image/"));
      if (type) return onImage(await item.getType(type), "pasted image");
    }
    onTrouble(nothing);
  } catch (error) {
    onTrouble(error.name === "NotAllowedError" ? "The browser did not allow reading the clipboard. Paste with the keyboard instead (Ctrl+V, ⌘V)." : nothing);
  }
}

/**
 * The samples as a row of buttons.
 * @param {HTMLElement} root
 * @param {(image: Blob, name: string) => void} onImage
 * @param {(text: string) => void} onTrouble
 * @returns {() => Promise<void>} shows the first one
 */
export function connectSamples(root, onImage, onTrouble) {
  const open = async (name) => {
    try {
      const response = await fetch(new URL(`../samples/${name}`, import.meta.url));
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      onImage(await response.blob(), name);
    } catch (error) {
      onTrouble(`The sample could not be fetched: ${error.message}`);
    }
  };
  SAMPLES.forEach((name, index) => {
    const picture = el("img", { src: `samples/${name}`, alt: `Sample ${index + 1}`, decoding: "async" });
    const button = el("button", { type: "button", onclick: () => open(name) }, picture);
    picture.addEventListener("error", () => button.remove());
    root.append(button);
  });
  return () => open(SAMPLES[0]);
}
