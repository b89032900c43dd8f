// Talking from the browser: brings together the button, the microphone, the connection and the loudspeaker.
import { api, login } from "../api.js";
import { write } from "../dom.js";
import { changed, currentLanguage, t } from "../i18n.js";
import { keep, kept } from "../kept.js";
import { holding } from "./hold.js";
import { Microphone, NoMicrophone } from "./microphone.js";
import { Said } from "./said.js";
import { Socket } from "./socket.js";
import { Speaker } from "./speaker.js";

const RATE_IN = 16_000;
const RATE_OUT = 24_000;
/** Whoever presses for less has not spoken. */
const SHORTEST_MS = 300;
/** A permission that was asked for takes longer than this; then the person has let the button go. */
const ASKED_MS = 400;

const ABOUT_THE_CONNECTION = ["talk.lost", "talk.many", "talk.broker", "talk.replaced"];

const by = (id) => document.getElementById(id);

export class Talk {
  constructor() {
    this.button = by("hold");
    this.said = new Said(by("said"));
    this.microphone = new Microphone(RATE_IN);
    this.speaker = new Speaker(RATE_OUT, () => this.refresh());
    this.socket = new Socket({
      message: (message) => this.message(message),
      audio: (audio) => this.audio(audio),
      ready: () => this.connected(),
      lost: (reason, seconds) => this.lost(reason, seconds),
      replaced: () => this.abandon("talk.replaced"),
      login: () => login.dispatchEvent(new Event("needed")),
    });
    /** null, "opening" or "listening": what the press has come to. */
    this.press = null;
    this.stopping = Promise.resolve();
    this.waiting = false;
    this.streaming = false;
    /** The turn last heard of, the one before the question now asked, and the one whose answer is played. */
    this.turn = null;
    this.earlier = null;
    this.played = null;
    this.troubleKey = "";
  }

  start() {
    const language = by("talk-language");
    language.value = kept("talk-language") ?? currentLanguage();
    this.socket.language = language.value;
    this.socket.name = t("talk.name");
    language.addEventListener("change", () => {
      keep("talk-language", language.value);
      this.socket.language = language.value;
      if (this.socket.ready) this.socket.send({ type: "hello", language: language.value, name: this.socket.name });
    });
    holding(this.button, { begin: () => this.begin(), end: () => this.end() });
    by("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask(by("ask-text"));
    });
    by("talk-stop").addEventListener("click", () => this.stop());
    addEventListener("pagehide", () => this.microphone.close());
    changed.addEventListener("change", () => {
      this.said.empty();
      this.trouble(this.troubleKey);
      this.refresh();
    });
    if (!window.isSecureContext) this.trouble("talk.insecure");
    this.refresh();
  }

  async begin() {
    const press = (this.press = { state: "opening", since: performance.now() });
    this.prepare();
    this.refresh();
    try {
      await this.stopping;
      await this.microphone.open();
    } catch (error) {
      if (!(error instanceof NoMicrophone)) throw error;
      if (this.press === press) this.press = null;
      this.trouble(error.reason);
      return this.refresh();
    }
    if (this.press !== press) return;
    this.trouble("");
    press.state = "listening";
    press.since = performance.now();
    this.socket.send({ type: "start" });
    this.microphone.start((audio, level) => {
      this.socket.send(audio);
      this.button.style.setProperty("--level", (1 + 0.6 * level).toFixed(3));
    });
    this.refresh();
  }

  end() {
    const press = this.press;
    if (!press) return;
    this.press = null;
    const held = performance.now() - press.since;
    if (press.state === "opening") {
      if (held > ASKED_MS) this.trouble("talk.ready");
      else this.trouble("talk.short");
    } else if (held < SHORTEST_MS) {
      this.trouble("talk.short");
      this.stopping = this.finish({ now: true }, "cancel");
    } else {
      this.waiting = true;
      this.stopping = this.finish({}, "end");
    }
    this.refresh();
  }

  async finish(how, type) {
    await this.microphone.stop(how);
    this.socket.send({ type });
  }

  ask(input) {
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    this.prepare();
    this.said.type(text);
    this.socket.send({ type: "ask", text });
    this.waiting = true;
    this.trouble("");
    this.refresh();
  }

  /** Before a question: sound may begin, and an answer that still runs ends. */
  prepare() {
    this.speaker.unlock();
    if (this.busy) this.stop();
    this.earlier = this.turn;
    this.socket.want();
  }

  get busy() {
    return this.waiting || this.streaming || this.speaker.playing;
  }

  stop() {
    this.silence();
    this.socket.send({ type: "abort" });
    this.refresh();
  }

  /** Play nothing more of the reply that runs. */
  silence() {
    this.speaker.flush();
    this.streaming = false;
    this.waiting = false;
  }

  message(message) {
    if (message.type === "event") {
      this.event(message.event);
    } else if (message.type === "audio") {
      this.streaming = this.press === null;
      if (this.streaming) this.played = message.turn;
    } else if (message.type === "audio_end") {
      if (message.how === "cancelled" && message.turn === this.played) this.speaker.flush();
      this.streaming = false;
      if (this.speaker.dropped > 0) this.trouble("talk.behind");
      this.speaker.dropped = 0;
    } else if (message.type === "error") {
      if (message.code === "broker_away") this.abandon("link.broker");
      else if (message.code === "too_long") this.trouble("talk.too_long");
      else this.trouble("", message.message);
    }
    this.refresh();
  }

  event(event) {
    this.said.take(event);
    // An interrupted turn ends while the next one is already asked.
    if (event.turn == null || event.turn === this.earlier) return;
    this.turn = event.turn;
    if (event.event === "done") this.waiting = false;
  }

  audio(audio) {
    if (!this.streaming) return;
    this.speaker.play(audio);
    this.refresh();
  }

  async lost(reason, seconds) {
    this.abandon(reason, { seconds });
    const hello = await api.hello().catch(() => null);
    if (hello?.login === "needed") login.dispatchEvent(new Event("needed"));
  }

  connected() {
    if (ABOUT_THE_CONNECTION.includes(this.troubleKey)) this.trouble("");
    // Turns are counted anew, and none of before goes on.
    this.turn = this.earlier = null;
    this.said.endTurns();
  }

  /** What was being said or answered will come to nothing. */
  abandon(key, values) {
    this.socket.withdraw();
    if (this.press?.state === "listening") this.stopping = this.microphone.stop({ now: true });
    this.press = null;
    this.waiting = false;
    this.streaming = false;
    this.trouble(key, t(key, values));
    this.refresh();
  }

  trouble(key, words = key && t(key)) {
    this.troubleKey = key;
    write(by("talk-trouble"), words);
  }

  refresh() {
    const state = this.press?.state ?? (this.speaker.playing || this.streaming ? "speaking" : this.waiting ? "thinking" : "idle");
    this.button.dataset.state = state;
    this.button.setAttribute("aria-pressed", String(this.press !== null));
    if (state !== "listening") this.button.style.removeProperty("--level");
    write(by("talk-state"), t(`talk.${state}`));
    by("talk-stop").hidden = state !== "speaking" && state !== "thinking";
  }
}
