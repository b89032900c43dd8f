// The engines and how they are, what is worth knowing of them, and which bounds were reached.
import { h } from "../dom.js";
import { duration, known, number, t } from "../i18n.js";

export function showEngines(place, statistics) {
  const engines = statistics.engines ?? [];
  const dropped = Object.entries(statistics.dropped ?? {}).filter(([, count]) => count > 0);
  place.replaceChildren(
    engines.length === 0
      ? h("p", { class: "empty" }, t("engines.empty"))
      : h("ul", { class: "rows" }, engines.map(row)),
    ...list("engines.notes", statistics.notes ?? []),
    ...list("engines.dropped", dropped.map(([name, count]) => `${name.replaceAll("_", " ")}: ${number(count)}`)),
  );
}

function row(engine) {
  const resting = engine.resting_s > 0;
  const failures = engine.failures > 0 ? t("engines.failures", { count: number(engine.failures) }) : "";
  return h("li", {},
    h("span", {}, h("span", { class: "soft" }, `${known(`stage.${engine.stage}`, engine.stage)} `), h("strong", {}, engine.engine)),
    h("span", {}, h("span", { class: "soft" }, failures, " "),
      h("span", { class: "badge", "data-kind": resting ? "bad" : "good" },
        resting ? t("engines.resting", { time: duration(engine.resting_s * 1000) }) : t("engines.ok"))));
}

function list(title, texts) {
  if (texts.length === 0) return [];
  return [h("div", { class: "notes" }, h("h3", {}, t(title)), h("ul", {}, texts.map((text) => h("li", { class: "soft" }, text))))];
}
