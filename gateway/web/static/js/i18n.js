// The page's words, numbers and times, in the language chosen.
import en from "./texts/en.js";
import es from "./texts/es.js";
import { keep, kept } from "./kept.js";

const TEXTS = { es, en };
export const changed = new EventTarget();
let language = first();

function first() {
  const wanted = [kept("language"), ...navigator.languages].map((tag) => (tag || "").slice(0, 2));
  return wanted.find((tag) => tag in TEXTS) ?? "en";
}

export function currentLanguage() {
  return language;
}

export function chooseLanguage(tag) {
  language = tag;
  keep("language", tag);
  changed.dispatchEvent(new Event("change"));
}

/** The text of `key`, its `{names}` filled in. */
export function t(key, values = {}) {
  return TEXTS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Like `t` for a key that a newer gateway may have and this page not: then `otherwise`. */
export function known(key, otherwise) {
  return key in TEXTS[language] ? t(key) : otherwise;
}

export function number(value) {
  return value == null ? "–" : new Intl.NumberFormat(language).format(value);
}

/** Milliseconds for people: 480 ms, 1.2 s; – for what never came. */
export function duration(milliseconds) {
  if (milliseconds == null) return "–";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d`;
}

/** A moment (ISO 8601): the time of today, else with its day. */
export function moment(iso) {
  if (!iso) return "–";
  const then = new Date(iso);
  const today = then.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(language, today ? { timeStyle: "medium" } : { dateStyle: "short", timeStyle: "short" }).format(then);
}

/** Put the words into everything within `root` that is marked for them. */
export function translate(root = document) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  for (const element of root.querySelectorAll("[data-placeholder]")) element.placeholder = t(element.dataset.placeholder);
}
