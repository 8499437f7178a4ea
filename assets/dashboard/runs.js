// The list of runs; it looks again every few seconds.

import { element } from "./chart.js";

const $ = (id) => document.getElementById(id);

function ago(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return "just now";
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

function state(run, now) {
  if (run.problem) return ["", run.problem];
  if (run.state === "running" && now - run.modified > 90) return ["stopped", "quiet"];
  const words = { missing: "does not exist yet", waiting: "no step yet", running: "training", finished: "finished", stopped: run.stopped || "stopped" };
  return [run.state, words[run.state] ?? ""];
}

function row(run, now) {
  const [look, word] = state(run, now), cell = (attributes, ...children) => element("td", attributes, ...children);
  return element("tr", {},
    cell({}, element("a", { href: `${encodeURIComponent(run.name)}/` }, run.name)),
    cell({}, element("span", { class: `dot ${look}` }), ` ${word}`),
    cell({}, run.of ? String(run.step) : "–", element("span", { class: "wide" }, run.of ? ` / ${run.of}` : "")),
    cell({ class: "n" }, run.map === null ? "–" : run.map.toFixed(3)),
    cell({ class: "wide" }, run.model || "–"),
    cell({ class: "wide soft" }, run.modified ? ago(now - run.modified) : "–"));
}

async function look() {
  try {
    const answer = await fetch("/api/runs", { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    const { now, runs, more, folder } = await answer.json();
    const focused = document.activeElement?.getAttribute?.("href");
    $("rows").replaceChildren(...runs.map((r) => row(r, now)));
    if (focused) $("rows").querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    $("table").hidden = !runs.length;
    $("none").hidden = runs.length > 0;
    $("about").textContent = [folder && `in ${folder}`, more ? `and ${more} older ones` : ""].filter(Boolean).join(", ");
    $("away").hidden = true;
  } catch (error) {
    $("away").textContent = error instanceof TypeError || error.name === "TimeoutError" ? "The server does not answer. The page tries again by itself." : String(error.message ?? error);
    $("away").hidden = false;
  }
  setTimeout(look, 4000);
}

look();
