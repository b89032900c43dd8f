// What the page knows of the gateway, made of its live news. No elements here.

export const TURNS_MAX = 300;
export const ERRORS_MAX = 100;
export const DEVICES_MAX = 500;
export const EVENTS_MAX = 200;
const ENDED_KEPT_MS = 8000;

export class Model extends EventTarget {
  devices = new Map();
  running = new Map();
  turns = [];
  errors = [];
  statistics = null;
  brokerConnected = true;

  /** Take in a message of the live news, at `now` (milliseconds). */
  apply(message, now = Date.now()) {
    switch (message.type) {
      case "snapshot":
        this.devices = new Map(message.devices.map((device) => [device.session_id, device]).reverse());
        this.running = new Map(message.running.map((turn) => [turn.session_id, { ...turn, ended: null }]));
        this.turns = message.turns.slice(-TURNS_MAX);
        this.errors = message.errors.slice(-ERRORS_MAX);
        this.statistics = message.statistics;
        this.brokerConnected = message.broker.connected;
        return this.tell("devices", "running", "turns", "errors", "statistics", "broker");
      case "event":
        return this.event(message.event, now);
      case "device":
        return this.device(message.device);
      case "turn":
        this.turns.push(message.turn);
        if (this.turns.length > TURNS_MAX) this.turns.shift();
        return this.tell("turns");
      case "erased":
        return this.erased(message);
      case "statistics":
        this.statistics = message.statistics;
        return this.tell("statistics");
      case "broker":
        this.brokerConnected = message.connected;
        return this.tell("broker");
    }
  }

  /** What to call a device. */
  name(id) {
    return this.devices.get(id)?.name || this.devices.get(id)?.spelling || id || "";
  }

  /** The devices, the one last active first. */
  get newest() {
    return [...this.devices.values()].reverse();
  }

  /** Turns that run, and those that have just ended. */
  current(now = Date.now()) {
    for (const [id, turn] of this.running) if (turn.ended && now - turn.ended > ENDED_KEPT_MS) this.running.delete(id);
    return [...this.running.values()];
  }

  erased({ session_ids: ids, reason }) {
    for (const id of ids) {
      const device = this.devices.get(id);
      // What is only forgotten is still there.
      if (reason === "forget" && device) this.devices.set(id, { ...device, last: null, message_count: 0 });
      else this.devices.delete(id);
    }
    this.tell("devices");
  }

  device(news) {
    const known = this.devices.get(news.session_id) ?? {};
    // Put at the end: that one is the newest.
    this.devices.delete(news.session_id);
    this.devices.set(news.session_id, { ...known, ...news });
    if (this.devices.size > DEVICES_MAX) this.devices.delete(this.devices.keys().next().value);
    this.tell("devices");
  }

  /** Take in what a device is called, and all else that its news do not say; its place stays. */
  introduce(device) {
    if (!this.devices.has(device.session_id)) return;
    this.devices.set(device.session_id, { ...this.devices.get(device.session_id), ...device });
    this.tell("devices");
  }

  event(event, now) {
    if (event.event === "error" || event.event === "engine_passed_over") {
      this.errors.push({ code: event.event, ...event });
      if (this.errors.length > ERRORS_MAX) this.errors.shift();
      this.tell("errors");
    }
    if (event.event === "announcement") return this.dispatchEvent(new CustomEvent("announcement", { detail: event }));
    if (event.turn == null || event.session_id == null) return;
    let turn = this.running.get(event.session_id);
    if (turn?.turn !== event.turn) {
      // The end of an older turn, told late, must not hide the newer one.
      if (event.event === "done" || event.event === "error") return;
      turn = { session_id: event.session_id, turn: event.turn, events: [], ended: null };
      this.running.set(event.session_id, turn);
    }
    if (turn.events.length < EVENTS_MAX || event.event === "done") turn.events.push(event);
    if (event.event === "done") turn.ended = now;
    this.tell("running");
  }

  tell(...what) {
    for (const name of what) this.dispatchEvent(new Event(name));
  }
}
