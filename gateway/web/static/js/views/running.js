// The turns that run, step by step.
import { h, show, write } from "../dom.js";
import { duration, known, t } from "../i18n.js";

const STEPS = ["listening", "recognising", "writing", "speaking"];
/** Which event ends each step. */
const UNTIL = { listening: "thinking", recognising: "transcript", writing: "speaking", speaking: "done" };
const KIND = { completed: "good", interrupted: "warn", silent: "warn", failed: "bad" };

/** Milliseconds of each step so far (null: not begun, or nobody knows), and which one runs. */
function progress(events) {
  const at = new Map();
  for (const event of events) if (!at.has(event.event)) at.set(event.event, Date.parse(event.ts));
  const done = events.find((event) => event.event === "done");
  const took = {};
  let begun = at.get("listening") ?? null;
  let now = "listening";
  for (const step of STEPS) {
    const end = at.get(UNTIL[step]) ?? null;
    took[step] = begun != null && end != null ? Math.max(0, end - begun) : null;
    if (end != null) {
      begun = end;
      now = STEPS[STEPS.indexOf(step) + 1] ?? null;
    }
  }
  return { took, now: done ? null : now, done };
}

export function showRunning(list, model, textShown) {
  const turns = model.current();
  if (turns.length === 0) {
    list.replaceChildren(h("li", { class: "empty" }, t("now.empty")));
    return;
  }
  show(list, turns, (turn) => `${turn.session_id} ${turn.turn}`, make, (element, turn) => fill(element, turn, model, textShown));
}

function make() {
  const steps = STEPS.map((step) => h("div", { "data-step": step }, h("span", {}), h("b", {})));
  return h("li", {}, h("div", { class: "who" }, h("strong", {}), h("span", { class: "soft" }), h("span", { class: "badge" })),
    h("div", { class: "steps" }, steps), h("p", { class: "quote" }), h("p", { class: "soft" }));
}

function fill(element, turn, model, textShown) {
  const { took, now, done } = progress(turn.events);
  const [name, number, badge] = element.querySelector(".who").children;
  write(name, model.name(turn.session_id));
  write(number, t("now.turn", { turn: turn.turn }));
  badge.hidden = !done;
  if (done) {
    badge.dataset.kind = KIND[done.outcome];
    write(badge, t(`outcome.${done.outcome}`));
  }
  for (const cell of element.querySelectorAll(".steps > *")) {
    const step = cell.dataset.step;
    cell.className = step === now ? "now" : took[step] != null ? "over" : "";
    if (step === now) cell.setAttribute("aria-current", "step");
    else cell.removeAttribute("aria-current");
    write(cell.firstChild, t(`step.${step}`));
    write(cell.lastChild, took[step] != null ? duration(took[step]) : step === now ? "…" : "");
  }
  const [quote, note] = element.querySelectorAll(":scope > p");
  const heard = turn.events.findLast((event) => event.event === "transcript");
  const sentences = turn.events.filter((event) => event.event === "sentence");
  quote.hidden = !heard?.text;
  write(quote, heard?.text ?? "");
  const error = turn.events.findLast((event) => event.event === "error");
  write(note, error ? known(`error.${error.code}`, error.message)
    : textShown ? sentences.map((event) => event.text).join(" ")
    : heard || sentences.length > 0 ? t("texts.hidden") : "");
  note.hidden = note.textContent === "";
}
