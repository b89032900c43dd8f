// The figures at the top.
import { h } from "../dom.js";
import { duration, number, t } from "../i18n.js";

export function showFigures(list, statistics) {
  const { turns, latency_ms: latency, cache } = statistics;
  const answered = turns.completed + turns.interrupted;
  const figures = [
    ["figures.online", number(statistics.devices_online)],
    ["figures.turns", number(answered)],
    ["figures.p50", duration(latency.p50)],
    ["figures.p95", duration(latency.p95)],
    ["figures.failed", number(turns.failed)],
    ["figures.sessions", number(statistics.total_sessions)],
    ["figures.hits", number(cache.hits)],
    ["figures.uptime", duration(statistics.uptime_s * 1000)],
  ];
  list.replaceChildren(...figures.map(([key, value]) => h("div", {}, h("dt", {}, t(key)), h("dd", {}, value))));
}
