// The connection over which this browser talks: opened when it is first wanted, and again after it was lost.
import { Backoff } from "../backoff.js";
import { keep, kept } from "../kept.js";
import { randomName } from "../random.js";

/** Audio waiting for the connection: 30 s of speech. */
const WAITING_MAX = 800;
/** Left alone for this long it is closed, and opened again when wanted. */
const IDLE_MS = 10 * 60_000;

const REPLACED = 4001;
const LOGIN = 4003;
const MANY = 4008;
const BROKER = 1011;

function deviceId() {
  let id = kept("device");
  if (!/^web-[a-z0-9]{8,16}$/.test(id ?? "")) {
    id = `web-${randomName(12)}`;
    keep("device", id);
  }
  return id;
}

export class Socket {
  /** `on` has message(object), audio(ArrayBuffer), ready(), lost(key, seconds), replaced() and login(). */
  constructor(on) {
    this.on = on;
    this.device = deviceId();
    this.language = "";
    this.name = "";
    this.backoff = new Backoff();
    this.socket = null;
    this.ready = false;
    this.wanted = false;
    this.waiting = [];
    this.retry = null;
    this.idle = null;
  }

  /** Send a message (object) or audio (ArrayBuffer), now or as soon as the connection stands. */
  send(what) {
    this.want();
    if (this.ready) this.socket.send(encoded(what));
    else if (this.waiting.length < WAITING_MAX || !(what instanceof ArrayBuffer)) this.waiting.push(what);
  }

  /** Forget what has not been sent yet. */
  withdraw() {
    this.waiting = [];
  }

  want() {
    this.wanted = true;
    clearTimeout(this.idle);
    this.idle = setTimeout(() => this.close(), IDLE_MS);
    if (!this.socket) this.connect();
  }

  close() {
    this.wanted = false;
    clearTimeout(this.retry);
    clearTimeout(this.idle);
    this.socket?.close();
  }

  connect() {
    clearTimeout(this.retry);
    const query = new URLSearchParams({ device: this.device, language: this.language, name: this.name });
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.socket = new WebSocket(`${scheme}//${location.host}/api/talk?${query}`));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) return this.on.audio(data);
      const message = JSON.parse(data);
      if (message.type === "ready") this.begin();
      this.on.message(message);
    };
    socket.onclose = (event) => this.closed(event);
  }

  begin() {
    this.backoff.reset();
    this.ready = true;
    const waiting = this.waiting;
    this.waiting = [];
    for (const what of waiting) this.socket.send(encoded(what));
    this.on.ready();
  }

  closed({ code }) {
    this.socket = null;
    this.ready = false;
    if (code === REPLACED || code === LOGIN || !this.wanted) {
      this.wanted = false;
      this.withdraw();
      if (code === REPLACED) this.on.replaced();
      else if (code === LOGIN) this.on.login();
      return;
    }
    const wait = this.backoff.next();
    const reason = { [MANY]: "talk.many", [BROKER]: "talk.broker" }[code] ?? "talk.lost";
    this.on.lost(reason, Math.max(1, Math.round(wait / 1000)));
    this.retry = setTimeout(() => this.connect(), wait);
  }
}

const encoded = (what) => (what instanceof ArrayBuffer ? what : JSON.stringify(what));
