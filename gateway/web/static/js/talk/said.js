// What was said, as it is said: one bubble for the question, one for the answer.
import { h, write } from "../dom.js";
import { duration, known, t } from "../i18n.js";

const TURNS_SHOWN = 100;

export class Said {
  constructor(log) {
    this.log = log;
    this.turns = new Map();
    this.typed = [];
    this.empty();
  }

  empty() {
    if (this.log.querySelector(".bubble")) return;
    this.log.replaceChildren(h("div", { class: "empty" }, h("p", {}, t("talk.empty")), h("p", {}, t("talk.example"))));
  }

  /** A typed question, shown before the gateway has it. */
  type(text) {
    this.typed.push(this.bubble("bubble me", text));
  }

  /** Show what an event of the conversation says. */
  take(event) {
    if (event.turn == null) {
      if (event.event === "error") this.bubble("bubble failed", known(`error.${event.code}`, event.message));
      return;
    }
    const turn = this.turn(event.turn);
    if (event.event === "transcript") {
      const typed = this.typed.findIndex((bubble) => bubble.textContent === event.text);
      if (typed >= 0) this.typed.splice(typed, 1);
      else if (event.text) this.bubble("bubble me", event.text, turn.answer);
    } else if (event.event === "sentence") {
      // Only what is new: a screen reader has read the rest.
      if (turn.answer) turn.answer.append(` ${event.text}`);
      else this.answer(turn, event.text);
      this.end();
    } else if (event.event === "error") {
      turn.failed = true;
      this.answer(turn, known(`error.${event.code}`, event.message)).classList.add("failed");
    } else if (event.event === "done") this.done(turn, event);
  }

  done(turn, event) {
    if (event.outcome === "silent" && !turn.failed) this.answer(turn, t("error.no_speech")).classList.add("failed");
    if (event.outcome === "interrupted" && turn.answer) {
      // What nobody heard was not said.
      this.answer(turn, event.reply || "…").classList.add("cut");
      turn.answer.append(h("small", {}, t("talk.interrupted")));
    }
    if (event.outcome === "completed" && event.reply && !turn.answer) this.answer(turn, event.reply);
    const first = event.timings_ms?.first_audio_out;
    if (event.outcome === "completed" && first != null && turn.answer) {
      turn.answer.append(h("small", {}, t("talk.first_sound", { time: duration(first) })));
    }
    turn.over = true;
  }

  answer(turn, text) {
    if (!turn.answer) turn.answer = this.bubble("bubble", text);
    else write(turn.answer, text);
    this.end();
    return turn.answer;
  }

  /** Turns of these numbers will come again, and be others. */
  endTurns() {
    this.turns.clear();
  }

  turn(number) {
    let turn = this.turns.get(number);
    // Numbers come again after 32767 turns.
    if (!turn || turn.over) {
      turn = { answer: null, failed: false, over: false };
      this.turns.set(number, turn);
      if (this.turns.size > TURNS_SHOWN) this.turns.delete(this.turns.keys().next().value);
    }
    return turn;
  }

  bubble(kind, text, before = null) {
    this.log.querySelector(".empty")?.remove();
    const bubble = h("p", { class: kind }, text);
    this.log.insertBefore(bubble, before);
    while (this.log.children.length > 2 * TURNS_SHOWN) this.log.firstElementChild.remove();
    this.end();
    return bubble;
  }

  end() {
    this.log.scrollTop = this.log.scrollHeight;
  }
}
