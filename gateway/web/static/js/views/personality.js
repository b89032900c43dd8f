// Who the assistant of a device is: shown, and changed.
import { api, Refused } from "../api.js";
import { h, write } from "../dom.js";
import { t } from "../i18n.js";

const FIELDS = ["name", "language", "persona", "groups", "voice", "quiet", "system_prompt"];
/** Lists are typed with commas between. */
const LISTS = ["groups"];

export async function personalityForm(place, id) {
  let said;
  try {
    said = await api.personality(id);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    place.replaceChildren(h("h3", {}, t("device.assistant")), h("p", { class: "soft" }, error.words));
    return;
  }
  const controls = Object.fromEntries(FIELDS.map((name) => [name, control(name, said)]));
  const result = h("p", { class: "result", role: "status" });
  const form = h("form", { class: "fields" },
    FIELDS.map((name) => h("div", { class: name === "system_prompt" ? "field wide" : "field" },
      h("label", { for: `personality-${name}` }, t(`field.${name}`)), controls[name])),
    h("div", { class: "buttons" }, h("button", { class: "main" }, t("device.save")), result));
  place.replaceChildren(h("h3", {}, t("device.assistant")), form);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const changes = {};
    for (const name of FIELDS) {
      const value = controls[name].value.trim();
      if (value === typed(said.own[name])) continue;
      // Left empty it is said elsewhere: by the persona, a group, or the settings.
      const given = LISTS.includes(name) ? value.split(/[\s,]+/) : value;
      changes[name] = value ? given : null;
    }
    if (Object.keys(changes).length === 0) return write(result, t("device.unchanged"));
    try {
      said = await api.change(id, changes);
      write(result, t("device.saved"));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      write(result, error.words);
    }
  });
}

function control(name, { own, effective, personas }) {
  const attributes = { id: `personality-${name}`, autocomplete: "off", placeholder: typed(effective?.[name]) || t("field.inherited") };
  if (name === "persona") {
    const names = [...new Set([...(personas ?? []), own.persona].filter(Boolean))];
    const select = h("select", { id: attributes.id }, h("option", { value: "" }, t("field.persona.none")), names.map((persona) => h("option", { value: persona }, persona)));
    select.value = own.persona ?? "";
    return select;
  }
  const input = h(name === "system_prompt" ? "textarea" : "input", { ...attributes, ...(name === "system_prompt" ? { rows: "3", maxlength: "8000" } : {}) });
  input.value = typed(own[name]);
  return input;
}

const typed = (value) => (Array.isArray(value) ? value.join(", ") : (value ?? ""));
