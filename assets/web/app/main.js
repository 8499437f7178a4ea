// Starts the engine and the first detection at once; the other views come when they are asked for.
import { DetectView } from "./detect.js";
import { byId } from "./dom.js";
import { Model } from "./model.js";

const model = new Model();
const detect = new DetectView(model);
model.load();

const VIEWS = {
  detect: async () => {},
  train: async () => (await import("./train.js")).start(model),
  check: async () => (await import("./check.js")).start(model, detect),
};
const begun = new Map();

function follow() {
  const asked = location.hash.slice(1);
  // The skip link names an element, not a view.
  if (asked === "main") return;
  const name = Object.hasOwn(VIEWS, asked) ? asked : "detect";
  for (const view of Object.keys(VIEWS)) byId(`view-${view}`).hidden = view !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (begun.has(name)) return;
  // Until its script has come, a view's buttons do nothing: a click would be lost.
  const view = byId(`view-${name}`);
  view.inert = true;
  begun.set(name, VIEWS[name]().finally(() => (view.inert = false)));
}

window.addEventListener("hashchange", follow);
follow();
