// One device, opened: what it is, its conversation, its assistant, and what can be done with it.
import { api, Refused } from "../api.js";
import { h, write } from "../dom.js";
import { moment, t } from "../i18n.js";
import { confirmed } from "./confirm.js";
import { stateBadge } from "./devices.js";
import { personalityForm } from "./personality.js";

/** Of what a device says of itself. */
const SHOWN_ELSEWHERE = ["v", "name"];

export class DeviceView {
  constructor(dialog, model, textShown) {
    this.dialog = dialog;
    this.model = model;
    this.textShown = textShown;
    this.id = null;
    model.addEventListener("devices", () => this.state());
    model.addEventListener("turns", () => this.conversation());
    dialog.addEventListener("close", () => (this.id = null));
  }

  async open(id) {
    this.id = id;
    const devices = await api.devices().catch(() => []);
    if (this.id !== id) return;
    for (const device of devices) if (device.session_id === id) this.model.introduce(device);
    this.draw(this.model.devices.get(id));
    this.dialog.showModal();
    this.conversation();
    personalityForm(this.dialog.querySelector(".assistant"), id);
  }

  draw(device) {
    const about = Object.entries(device.device_info ?? {}).filter(([key, value]) => !SHOWN_ELSEWHERE.includes(key) && ["string", "number"].includes(typeof value));
    const result = h("p", { class: "result", role: "status" });
    this.dialog.replaceChildren(h("div", {},
      h("div", { class: "head" }, h("h2", { id: "device-title" }, this.model.name(this.id)), h("span", { class: "badge" })),
      h("p", { class: "soft" }, [
        `${t("device.id")}: ${device.spelling}`,
        device.message_count != null && t("devices.messages", { count: device.message_count }),
        device.created_at && `${t("device.since")}: ${moment(device.created_at)}`,
        device.updated_at && `${t("device.active")}: ${moment(device.updated_at)}`,
      ].filter(Boolean).join(" · ")),
      about.length > 0 && h("p", { class: "soft" }, `${t("device.about")}: ${about.map(([key, value]) => `${key} ${value}`).join(", ")}`),
      h("section", {}, h("h3", {}, t("device.conversation")),
        h("div", { class: "talked", tabindex: "0", role: "region", "aria-label": t("device.conversation") })),
      h("section", { class: "assistant" }),
      h("div", { class: "buttons" },
        h("button", { type: "button", onclick: () => this.abort(result) }, t("device.abort")),
        h("button", { type: "button", class: "danger", onclick: () => this.forget(result) }, t("device.forget")),
        h("button", { type: "button", onclick: () => this.dialog.close() }, t("device.close")), result)));
    this.state();
  }

  state() {
    const device = this.id && this.model.devices.get(this.id);
    const badge = this.dialog.querySelector(".badge");
    if (device && badge) stateBadge(badge, device);
  }

  async conversation() {
    const place = this.dialog.querySelector(".talked");
    if (!this.id || !place) return;
    const id = this.id;
    if (!this.textShown()) return place.replaceChildren(h("p", { class: "empty" }, t("texts.hidden")));
    try {
      const messages = await api.conversation(id);
      if (this.id !== id) return;
      place.replaceChildren(...(messages.length > 0
        ? messages.map((message) => h("p", { class: message.role === "user" ? "bubble me" : "bubble" }, message.text, h("small", {}, moment(message.created_at))))
        : [h("p", { class: "empty" }, t("device.conversation.empty"))]));
      place.scrollTop = place.scrollHeight;
    } catch (error) {
      const words = error.code === "not_found" ? t("device.conversation.empty") : error.words;
      place.replaceChildren(h("p", { class: "empty" }, words));
    }
  }

  async forget(result) {
    const name = this.model.name(this.id);
    if (!(await confirmed(t("device.forget.sure", { name }), t("device.forget.yes")))) return;
    await this.act(result, async () => {
      const { messages } = await api.forget(this.id);
      await this.conversation();
      return t("device.forgotten", { count: messages });
    });
  }

  abort(result) {
    return this.act(result, async () => {
      await api.abort(this.id);
      return t("device.aborted");
    });
  }

  async act(result, action) {
    try {
      write(result, await action());
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      write(result, error.words);
    }
  }
}
