import { Detector } from "./autobidet.js"; // with a bundler: from "autobidet"

const input = document.querySelector("input");
const output = document.querySelector("pre");
try {
  const detector = await Detector.load(new URL("models/scenes.safetensors", import.meta.url));
  output.textContent = `Ready. Finds: ${detector.info.labels.join(", ")}`;
  input.onchange = async () => {
    const boxes = await detector.detect(input.files[0]);
    output.textContent = boxes.map(({ label, score, box }) => `${label} ${score.toFixed(2)} ${box.map(Math.round)}`).join("\n");
  };
} catch (error) {
  output.textContent = error.message;
}
