// The live news of the gateway: connects, and connects again.
import { api } from "./api.js";
import { Backoff } from "./backoff.js";

export class Live {
  /** `news(message)` gets every message; `connection("connecting" | "live" | "lost")` how it stands. */
  constructor(news, connection) {
    this.news = news;
    this.connection = connection;
    this.backoff = new Backoff(1000, 15_000);
    this.source = null;
    this.timer = null;
  }

  start() {
    this.stop();
    this.connection("connecting");
    this.connect();
  }

  stop() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  connect() {
    this.source?.close();
    const source = (this.source = new EventSource("/api/live"));
    source.onmessage = (message) => {
      this.backoff.reset();
      this.connection("live");
      this.news(JSON.parse(message.data));
    };
    source.onerror = () => {
      // Its own way of trying again ends for good at the first HTTP error.
      source.close();
      if (source === this.source) this.again();
    };
  }

  async again() {
    this.connection("lost");
    this.timer = setTimeout(async () => {
      const hello = await api.hello().catch(() => null);
      if (hello?.login === "needed") {
        // Whoever listens for the login starts this anew.
        await api.devices().catch(() => null);
      } else if (hello) this.connect();
      else this.again();
    }, this.backoff.next());
  }
}
