// How soon each answer began, by stage: a picture, its summary in words, and a table of the same.
import { h, svg } from "../dom.js";
import { duration, moment, t } from "../i18n.js";

const SHOWN = 60;
const HEIGHT = 200;
const LEFT = 52;
const BOTTOM = 22;
const STAGES = ["recognition", "model", "voice", "sending"];

/** Milliseconds of each stage; the times of a turn count all from the end of the question. */
export function stagesOf(timings) {
  const marks = [timings.stt, timings.llm_first_token, timings.tts_first_audio, timings.first_audio_out];
  let before = 0;
  return marks.map((mark) => {
    if (mark == null) return 0;
    const took = Math.max(0, mark - before);
    before = Math.max(before, mark);
    return took;
  });
}

export function showLatency(place, model) {
  const turns = model.turns.filter((turn) => turn.timings_ms.first_audio_out != null && turn.kind !== "say").slice(-SHOWN);
  if (turns.length === 0) {
    place.replaceChildren(h("p", { class: "empty" }, t("latency.empty")));
    return;
  }
  const bars = turns.map((turn) => ({ turn, stages: stagesOf(turn.timings_ms), total: turn.timings_ms.first_audio_out }));
  const wasOpen = place.querySelector("details")?.open ?? false;
  const focused = document.activeElement?.closest("#latency summary") != null;
  place.replaceChildren(
    h("figure", { class: "figure" }, picture(bars, model, place.clientWidth || 600), legend(), h("figcaption", { class: "soft" }, summary(bars))),
    h("details", { open: wasOpen }, h("summary", {}, t("latency.table")), table(bars, model)),
  );
  if (focused) place.querySelector("summary").focus();
}

function picture(bars, model, width) {
  const most = Math.max(...bars.map((bar) => bar.total), 100);
  const top = niceTop(most);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - 10);
  const parts = [];
  for (const value of [0, top / 2, top]) {
    parts.push(svg("line", { x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
    parts.push(svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, duration(value)));
  }
  // A few bars do not become walls.
  const step = Math.min((width - LEFT) / bars.length, 34);
  bars.forEach((bar, index) => {
    let from = 0;
    const group = svg("g", {}, svg("title", {}, inWords(bar, model)));
    bar.stages.forEach((took, stage) => {
      if (took === 0) return;
      const height = y(from) - y(from + took);
      group.append(svg("rect", { class: `s${stage + 1}`, x: LEFT + index * step + step * 0.12, width: step * 0.76, y: y(from + took), height }));
      from += took;
    });
    parts.push(group);
  });
  const first = bars[0].turn.started_at;
  const last = bars.at(-1).turn.started_at;
  parts.push(svg("text", { x: LEFT, y: HEIGHT - 4 }, moment(first)));
  if (step * bars.length > 260) parts.push(svg("text", { x: LEFT + step * bars.length, y: HEIGHT - 4, "text-anchor": "end" }, moment(last)));
  return svg("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": summary(bars) }, ...parts);
}

function niceTop(most) {
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 10].map((factor) => factor * size).find((value) => value >= most);
}

function legend() {
  return h("p", { class: "legend", "aria-hidden": "true" },
    STAGES.map((stage, index) => h("span", {}, h("i", { class: `s${index + 1}` }), t(`latency.${stage}`))));
}

function summary(bars) {
  const totals = bars.map((bar) => bar.total).sort((a, b) => a - b);
  const longest = STAGES.map((_, index) => bars.filter((bar) => bar.stages[index] === Math.max(...bar.stages)).length);
  return t("latency.summary", {
    count: bars.length,
    median: duration(totals[Math.ceil(totals.length / 2) - 1]),
    slowest: duration(totals.at(-1)),
    stage: t(`latency.${STAGES[longest.indexOf(Math.max(...longest))]}`),
  });
}

function inWords(bar, model) {
  const stages = STAGES.map((stage, index) => `${t(`latency.${stage}`)} ${duration(bar.stages[index])}`).join(", ");
  return t("latency.turn", { time: moment(bar.turn.started_at), device: model.name(bar.turn.session_id), total: duration(bar.total), stages });
}

function table(bars, model) {
  const titles = [t("latency.when"), t("device.id"), ...STAGES.map((stage) => t(`latency.${stage}`)), t("latency.total")];
  const rows = bars.toReversed().map(({ turn, stages, total }) =>
    h("tr", {}, [moment(turn.started_at), model.name(turn.session_id), ...stages.map(duration), duration(total)].map((text) => h("td", {}, text))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("latency.title") },
    h("table", {}, h("thead", {}, h("tr", {}, titles.map((title) => h("th", { scope: "col" }, title)))), h("tbody", {}, rows)));
}
