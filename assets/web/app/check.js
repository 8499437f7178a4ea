// The third view: the device held against the CPU twins.
import { byId, copyFrom, el, short } from "./dom.js";
import { showNotice } from "./state.js";

/**
 * Connects the view with the id view-check.
 * @param {import("./model.js").Model} model
 * @param {import("./detect.js").DetectView} detect whose picture is traced
 */
export function start(model, detect) {
  const trace = new Report("trace", model, traceRow, async (detector, onStep) => {
    if (!detect.image) throw new Error("There is no picture yet: choose one in the first view.");
    let most;
    const report = await detector.trace(detect.image.blob, {
      onStep: (step) => {
        if (!most || step.error > most.error) most = step;
        onStep(step);
      },
    });
    const worst = most?.error ? `; the largest error is ${short(most.error)}, in ${most.label}` : ", to the last bit";
    const first = report.first_difference;
    const sentence = first
      ? `${report.agree} of ${report.steps} steps agree; the first that differs is ${first.step}, ${first.label}.`
      : `All ${report.steps} steps agree${worst}.`;
    return { good: !first, sentence, text: reportText("trace", detector, [report.text, sentence]) };
  });
  const selftest = new Report("selftest", model, selftestRow, async (detector, onStep) => {
    const lines = [];
    const { passed, failed } = await detector.selftest({
      onStep: (line) => {
        lines.push(line);
        onStep(line);
      },
    });
    const sentence = failed > 0 ? `${failed} of ${passed + failed} cases failed.` : `All ${passed} cases passed.`;
    return { good: !failed, sentence, text: reportText("self-test", detector, [...lines.map(selftestText), sentence]) };
  });
  // One worker does both, so one waits for the other.
  for (const report of [trace, selftest]) report.others = [trace, selftest];
}

/** A button that runs something, a table that fills meanwhile, and a text to copy. */
class Report {
  others = [];
  #name;
  #model;
  #row;
  #run;
  #text = "";

  constructor(name, model, row, run) {
    this.#name = name;
    this.#model = model;
    this.#row = row;
    this.#run = run;
    byId(name).addEventListener("click", () => this.#start());
    byId(`copy-${name}`).addEventListener("click", () => copyFrom(byId(`copy-${name}`), this.#text));
  }

  enable(on) {
    byId(this.#name).disabled = !on;
  }

  async #start() {
    const notice = byId("check-notice");
    showNotice(notice, "");
    const { detector } = this.#model;
    if (!detector) {
      showNotice(notice, "There is no detector: the first view says why.");
      return;
    }
    const body = byId(`${this.#name}-table`).tBodies[0];
    const status = byId(`${this.#name}-status`);
    const copy = byId(`copy-${this.#name}`);
    body.replaceChildren();
    byId(`${this.#name}-scroll`).hidden = false;
    copy.disabled = true;
    status.textContent = "Running…";
    status.className = "figure";
    for (const other of this.others) other.enable(false);
    let lines = 0;
    try {
      const { good, sentence, text } = await this.#run(detector, (line) => {
        lines += 1;
        // Not read aloud line by line: the status is told at the end.
        copy.title = `${lines} so far`;
        body.append(this.#row(line));
      });
      status.textContent = sentence;
      status.classList.add(good ? "good" : "bad");
      this.#text = text;
      copy.disabled = false;
    } catch (error) {
      status.textContent = "";
      showNotice(notice, error.message);
    }
    copy.removeAttribute("title");
    for (const other of this.others) other.enable(true);
  }
}

const verdict = (good, text) => el("td", { class: good ? "good" : "bad" }, text);
const number = (value) => el("td", { class: "n" }, String(value));

function traceRow({ step, label, error, differing, agrees }) {
  return el("tr", {}, number(step), el("th", { scope: "row" }, label), number(short(error)), number(differing ? `${short(100 * differing)} %` : "0"), verdict(agrees, agrees ? "yes" : "no"));
}

function selftestRow({ op, cases, passed, largest_error: error, problems }) {
  const told = problems.length ? problems.join("; ") : "none";
  const last = verdict(passed === cases, told);
  last.classList.add("wraps");
  return el("tr", {}, el("th", { scope: "row" }, op), number(`${passed} of ${cases}`), number(short(error)), last);
}

function selftestText({ op, cases, passed, largest_error: error, problems }) {
  return [`${op}: ${passed} of ${cases}, largest error ${short(error)}`, ...problems.map((problem) => `  ${problem}`)].join("\n");
}

/** With everything that a report of a bug needs: adapter, limits, browser. */
function reportText(what, detector, lines) {
  return [`autobidet, ${what} in the browser`, `adapter ${JSON.stringify(detector.info.adapter)}`, navigator.userAgent, ...lines, ""].join("\n");
}
