// The form that lets the devices say something, and what became of it.
import { api, Refused } from "../api.js";
import { h, write } from "../dom.js";
import { known, t } from "../i18n.js";
import { randomName } from "../random.js";

const PRIORITIES = ["low", "normal", "high", "urgent"];

const field = (name, control, kind = "field") => h("div", { class: kind }, h("label", { for: control.id, "data-t": name }), control);
const option = (value, name, selected = false) => h("option", { value, "data-t": name, selected });

/** Build the form into `place`; `translate` puts its words in. */
export function announceForm(place, model, translate) {
  const text = h("textarea", { id: "announce-text", rows: "2", maxlength: "1000", required: true });
  const to = h("select", { id: "announce-to" });
  const group = h("input", { id: "announce-group", pattern: "[A-Za-z0-9_.\\-]{1,64}", autocomplete: "off", spellcheck: "false" });
  const groupField = field("announce.group.name", group);
  const kind = h("select", { id: "announce-kind" }, option("say", "announce.say"), option("ask", "announce.ask"));
  const priority = h("select", { id: "announce-priority" }, PRIORITIES.map((name) => option(name, `priority.${name}`, name === "normal")));
  const button = h("button", { class: "main", "data-t": "announce.send" });
  const result = h("p", { class: "result", role: "status" });
  const form = h("form", { class: "fields" }, field("announce.text", text, "field wide"), field("announce.to", to), groupField,
    field("announce.kind", kind), field("announce.priority", priority), h("div", { class: "buttons" }, button, result));
  place.replaceChildren(form);

  const choose = () => {
    groupField.hidden = to.value !== "group:";
    group.required = !groupField.hidden;
  };
  let listed = "";
  const recipients = () => {
    const devices = model.newest.map((device) => [device.session_id, model.name(device.session_id)]);
    devices.sort(([, one], [, other]) => one.localeCompare(other));
    // A list that is built anew closes under the hand of who chooses.
    if (to.options.length > 0 && listed === JSON.stringify(devices)) return;
    listed = JSON.stringify(devices);
    const chosen = to.value;
    to.replaceChildren(option("all", "announce.all"), option("group:", "announce.group"),
      ...devices.map(([id, name]) => h("option", { value: id }, name)));
    to.value = [...to.options].some((known) => known.value === chosen) ? chosen : "all";
    translate(to);
    choose();
  };

  let id = null;
  let states = new Map();
  let accepted = "";
  const tell = () => write(result, [accepted, ...[...states].map(([device, status]) =>
    t("announce.status", { device: model.name(device), status }))].filter(Boolean).join(" "));

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    states = new Map();
    // Named here: what becomes of it may be told before the answer is there.
    id = randomName(16);
    accepted = "";
    tell();
    try {
      const target = to.value === "group:" ? `group:${group.value}` : to.value;
      const answer = await api.announce({ id, to: [target], text: text.value, ask: kind.value === "ask", priority: priority.value });
      const devices = answer.devices ?? [];
      const refused = Object.entries(answer.refused ?? {}).map(([device, reason]) => t("announce.refused", { device: model.name(device), reason }));
      const sent = devices.length > 0 ? t("announce.sent", { count: devices.length, devices: devices.map((device) => model.name(device)).join(", ") }) : "";
      accepted = [sent, ...refused].filter(Boolean).join(" ") || t("announce.nobody");
      tell();
      if (devices.length > 0) text.value = "";
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      write(result, error.words);
    } finally {
      button.disabled = false;
    }
  });
  model.addEventListener("announcement", ({ detail }) => {
    if (detail.id !== id) return;
    states.set(detail.session_id, known(`announced.${detail.status}`, detail.status));
    tell();
  });
  to.addEventListener("change", choose);
  recipients();
  return recipients;
}
