// Asks before what cannot be undone.
import { h } from "../dom.js";
import { t } from "../i18n.js";

/** Ask `question`; true when the person presses the button called `yes`, false for all else. */
export function confirmed(question, yes) {
  const dialog = document.getElementById("confirm");
  return new Promise((resolve) => {
    const close = (answer) => () => dialog.close(answer);
    dialog.replaceChildren(h("div", {},
      h("p", { id: "confirm-title" }, question),
      h("div", { class: "buttons" },
        h("button", { type: "button", autofocus: true, onclick: close("no") }, t("cancel")),
        h("button", { type: "button", class: "danger main", onclick: close("yes") }, yes))));
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}
