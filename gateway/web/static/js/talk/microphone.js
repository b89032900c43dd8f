// The microphone: open while someone speaks and shortly after, so that the next press need not wait for it.

const KEPT_OPEN_MS = 60_000;
/** After the button is let go: the end of a word, and what is still on its way from the microphone. */
const TAIL_MS = 120;
const END_MS = 2000;
/** A browser that does not let sound begin never says so. */
const START_MS = 5000;

/** `reason` is the key of what to tell the person. */
export class NoMicrophone extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

const REASONS = {
  NotAllowedError: "talk.denied",
  SecurityError: "talk.denied",
  NotFoundError: "talk.no_microphone",
  OverconstrainedError: "talk.no_microphone",
};

export class Microphone {
  constructor(rate) {
    this.rate = rate;
    this.stream = null;
    this.context = null;
    this.timer = null;
    this.recording = null;
    this.opening = null;
  }

  /** Raises NoMicrophone. Must be called while a press is handled, or the browser does not let sound begin. */
  open() {
    // A second press while the first one still waits for the permission waits for the same.
    this.opening ??= this.acquire().finally(() => (this.opening = null));
    return this.opening;
  }

  async acquire() {
    clearTimeout(this.timer);
    if (!window.isSecureContext) throw new NoMicrophone("talk.insecure");
    if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) throw new NoMicrophone("talk.no_sound");
    if (this.stream?.getAudioTracks().some((track) => track.readyState === "live")) return this.keepOpen();
    this.close();
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
    } catch (error) {
      throw new NoMicrophone(REASONS[error.name] ?? "talk.in_use");
    }
    try {
      this.context = new AudioContext();
      await this.context.audioWorklet.addModule("/static/js/talk/capture-worklet.js");
      await Promise.race([this.context.resume(), late(START_MS)]);
    } catch {
      this.close();
      throw new NoMicrophone("talk.in_use");
    }
    this.keepOpen();
  }

  keepOpen() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.close(), KEPT_OPEN_MS);
  }

  /** Record, once open: `onAudio(ArrayBuffer, level 0 to 1)` gets every 40 ms. */
  start(onAudio) {
    clearTimeout(this.timer);
    const source = this.context.createMediaStreamSource(this.stream);
    const options = { numberOfOutputs: 0, processorOptions: { rate: this.rate } };
    const node = new AudioWorkletNode(this.context, "capture", options);
    const ended = new Promise((resolve) => {
      node.port.onmessage = ({ data }) => (data.ended ? resolve() : onAudio(data.audio, data.level));
    });
    source.connect(node);
    this.recording = { source, node, ended };
  }

  /** End the recording; all of it has been given when this returns. `now`: nobody wants the rest. */
  async stop({ now = false } = {}) {
    const recording = this.recording;
    if (!recording) return;
    this.recording = null;
    if (!now) await wait(TAIL_MS);
    recording.node.port.postMessage("end");
    // Were the audio thread to hang, the question must still end.
    await Promise.race([recording.ended, wait(now ? 0 : END_MS)]);
    recording.node.port.onmessage = null;
    recording.source.disconnect();
    if (!this.recording) this.keepOpen();
  }

  close() {
    clearTimeout(this.timer);
    this.recording = null;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.context?.close();
    this.context = null;
  }
}

const late = (milliseconds) => wait(milliseconds).then(() => Promise.reject(new Error("late")));
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
