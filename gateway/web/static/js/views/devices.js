// The list of devices; pressing one opens it.
import { h, show, write } from "../dom.js";
import { duration, t } from "../i18n.js";

const EXAMPLE = "mosquitto_pub -t voice/kitchen/in -f question.wav";

export function stateBadge(badge, device) {
  const offline = device.online === false && device.state === "idle";
  badge.dataset.kind = device.state !== "idle" ? "active" : device.online ? "good" : "";
  write(badge, offline ? t("state.offline") : device.state === "idle" && device.online ? t("state.online") : t(`state.${device.state}`));
}

export function showDevices(list, model, open) {
  const devices = model.newest;
  if (devices.length === 0) {
    const [before, after] = t("devices.empty", { command: "\n" }).split("\n");
    list.replaceChildren(h("li", { class: "empty" }, before, h("code", {}, EXAMPLE), after));
    return;
  }
  const make = (device) =>
    h("li", {}, h("button", { type: "button", onclick: () => open(device.session_id) },
      h("strong", {}), h("span", { class: "marks" }, h("span", { class: "badge" })), h("span", { class: "last" })));
  show(list, devices, (device) => device.session_id, make, (element, device) => {
    write(element.querySelector("strong"), model.name(device.session_id));
    stateBadge(element.querySelector(".badge"), device);
    const last = device.last;
    write(element.querySelector(".last"), [
      device.name ? device.spelling : "",
      last ? t("devices.turn_of", { outcome: t(`outcome.${last.outcome}`), time: duration(last.total_ms) }) : "",
    ].filter(Boolean).join(" · "));
  });
}
