// The errors, the newest first.
import { h } from "../dom.js";
import { known, moment, t } from "../i18n.js";

export function showErrors(list, model) {
  if (model.errors.length === 0) {
    list.replaceChildren(h("li", { class: "empty" }, t("errors.empty")));
    return;
  }
  list.replaceChildren(...model.errors.toReversed().map((error) =>
    h("li", {},
      h("strong", {}, known(`error.${error.code}`, error.code)), error.engine ? ` (${error.engine})` : "",
      h("p", {}, error.message),
      h("p", { class: "soft" }, [moment(error.ts), model.name(error.session_id), known(`stage.${error.stage}`, error.stage)].filter(Boolean).join(" · ")))));
}
