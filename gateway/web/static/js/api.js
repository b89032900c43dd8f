// The gateway's HTTP interface. Every failure is a `Refused` with a code, and words for people.
import { known, t } from "./i18n.js";

export class Refused extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }

  /** For people, in their language; the server's own English message where this page has none. */
  get words() {
    const own = known(`error.${this.code}`, "");
    // What was asked for wrongly, and why something is refused, only the server's message says.
    if (!own || ["bad_request", "refused"].includes(this.code)) return this.message;
    return own;
  }
}

/** Told of every answer that asks for the login. */
export const login = new EventTarget();

async function call(method, path, body) {
  const options = { method, headers: {}, credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused("unreachable", t("error.unreachable"));
  }
  if (answer.status === 204) return null;
  const text = await answer.text();
  let data = {};
  try {
    data = JSON.parse(text);
  } catch {
    // An error page of something between: its status says enough.
  }
  if (answer.ok) return data;
  const error = data.error ?? {};
  const refused = new Refused(error.code ?? "internal", error.message ?? `${answer.status} ${answer.statusText}`, answer.status);
  if (refused.code === "login_needed") login.dispatchEvent(new Event("needed"));
  throw refused;
}

const one = (id) => `/api/devices/${encodeURIComponent(id)}`;

export const api = {
  hello: () => call("GET", "/api/hello"),
  login: (token) => call("POST", "/login", { token }),
  logout: () => call("POST", "/logout"),
  devices: async () => (await call("GET", "/api/devices")).devices,
  conversation: async (id) => (await call("GET", `${one(id)}/conversation?limit=50`)).messages,
  forget: (id) => call("POST", `${one(id)}/forget`),
  abort: (id) => call("POST", `${one(id)}/abort`),
  announce: (announcement) => call("POST", "/api/announce", announcement),
  personality: (id) => call("GET", `${one(id)}/personality`),
  change: (id, fields) => call("PATCH", `${one(id)}/personality`, fields),
};
