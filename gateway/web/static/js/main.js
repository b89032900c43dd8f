// Puts the page together: asks whether a login is needed, then shows the live news and lets one talk.
import { api, login, Refused } from "./api.js";
import { soon, write } from "./dom.js";
import { changed, chooseLanguage, currentLanguage, t, translate } from "./i18n.js";
import { keep, kept } from "./kept.js";
import { Live } from "./live.js";
import { Model } from "./model.js";
import { Talk } from "./talk/talk.js";
import { announceForm } from "./views/announce.js";
import { DeviceView } from "./views/device.js";
import { showDevices } from "./views/devices.js";
import { showEngines } from "./views/engines.js";
import { showErrors } from "./views/errors.js";
import { showFigures } from "./views/figures.js";
import { showLatency } from "./views/latency.js";
import { showRunning } from "./views/running.js";

const by = (id) => document.getElementById(id);
const model = new Model();
const talk = new Talk();
const live = new Live(news, (state) => showLink(state));
const INTRODUCED_WITHIN_MS = 500;
let hello = null;
let link = "connecting";

function news(message) {
  model.apply(message);
  // The news of a device say what it does, not what it is called.
  const id = message.device?.session_id ?? message.turn?.session_id;
  if (id && !model.devices.get(id)?.name) introduce();
}

const introduce = soon(async () => {
  for (const device of await api.devices().catch(() => [])) model.introduce(device);
}, INTRODUCED_WITHIN_MS);

function showLink(state = link) {
  link = state;
  const broker = state === "live" && !model.brokerConnected;
  by("link").dataset.state = broker || state === "lost" ? "bad" : state === "live" ? "good" : "";
  write(by("link"), t(broker ? "link.broker" : `link.${state}`));
}

function views() {
  const device = new DeviceView(by("device"), model, () => hello.text_shown);
  const recipients = announceForm(by("announce"), model, translate);
  const draw = {
    devices: soon(() => {
      showDevices(by("devices"), model, (id) => device.open(id));
      recipients();
    }),
    running: soon(() => showRunning(by("running"), model, hello.text_shown)),
    turns: soon(() => showLatency(by("latency"), model)),
    errors: soon(() => showErrors(by("errors"), model)),
    statistics: soon(() => {
      if (!model.statistics) return;
      showFigures(by("figures"), model.statistics);
      showEngines(by("engines"), model.statistics);
    }),
    broker: () => showLink(),
  };
  for (const [what, show] of Object.entries(draw)) model.addEventListener(what, show);
  const all = () => {
    translate();
    for (const show of Object.values(draw)) show();
  };
  changed.addEventListener("change", all);
  // A turn that has ended leaves after a while.
  setInterval(draw.running, 2000);
  let width = 0;
  new ResizeObserver(([entry]) => {
    if (Math.round(entry.contentRect.width) === width) return;
    width = Math.round(entry.contentRect.width);
    draw.turns();
  }).observe(by("latency"));
  all();
}

function choices() {
  const language = by("language");
  language.value = currentLanguage();
  language.addEventListener("change", () => chooseLanguage(language.value));
  const theme = by("theme");
  theme.value = kept("theme") ?? "system";
  theme.addEventListener("change", () => {
    keep("theme", theme.value);
    dispatchEvent(new Event("theme"));
  });
  by("logout").addEventListener("click", async () => {
    await api.logout();
    location.reload();
  });
}

function askForLogin() {
  if (!by("login").hidden) return;
  live.stop();
  talk.socket.close();
  write(by("link"), "");
  by("page").hidden = true;
  by("logout").hidden = true;
  by("login").hidden = false;
  by("token").focus();
}

async function enter(event) {
  event.preventDefault();
  write(by("login-wrong"), "");
  try {
    await api.login(by("token").value.trim());
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const key = { login_failed: "login.failed", too_many_tries: "login.tries" }[error.code];
    write(by("login-wrong"), key ? t(key) : error.words);
    by("token").select();
    return;
  }
  by("token").value = "";
  by("login").hidden = true;
  await open();
  by("main").focus();
}

/** Show the page, once the gateway lets. */
async function open() {
  hello = await api.hello();
  if (hello.login === "needed") return askForLogin();
  const first = by("page").dataset.open !== "yes";
  by("page").hidden = false;
  by("logout").hidden = hello.login === "none";
  if (first) {
    by("page").dataset.open = "yes";
    views();
    talk.start();
  }
  live.start();
}

async function begin() {
  translate();
  choices();
  changed.addEventListener("change", () => {
    translate();
    showLink();
  });
  login.addEventListener("needed", askForLogin);
  by("login").addEventListener("submit", enter);
  showLink();
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      showLink("lost");
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
}

begin();
