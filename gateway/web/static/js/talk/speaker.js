// Plays the reply as it comes, without a gap: each piece begins at the very sample at which the one before ends.

const LEAD_S = 0.15;
const AHEAD_MAX_S = 30;
const FADE_S = 0.015;

export class Speaker {
  /** `rate` in Hz. `onQuiet()` is called when everything given so far has been played. */
  constructor(rate, onQuiet) {
    this.rate = rate;
    this.onQuiet = onQuiet;
    this.context = null;
    this.gain = null;
    this.pieces = new Set();
    this.next = 0;
    this.dropped = 0;
  }

  /** Let sound begin: browsers allow that only while a press is handled. */
  unlock() {
    if (!this.context) {
      this.context = new AudioContext({ sampleRate: this.rate });
      this.renew();
    }
    if (this.context.state !== "running") this.context.resume().catch(() => {});
  }

  get playing() {
    return this.pieces.size > 0;
  }

  /** Play an ArrayBuffer of signed 16-bit samples after what came before. */
  play(audio) {
    if (!this.context) return;
    const samples = new Int16Array(audio, 0, audio.byteLength >> 1);
    if (samples.length === 0) return;
    const now = this.context.currentTime;
    // Counted in whole samples: a sum of seconds would drift between two of them, and click.
    if (this.next < now * this.rate) this.next = Math.ceil((now + LEAD_S) * this.rate);
    if (this.next - now * this.rate > AHEAD_MAX_S * this.rate) {
      this.dropped += samples.length;
      return;
    }
    const buffer = this.context.createBuffer(1, samples.length, this.rate);
    const channel = buffer.getChannelData(0);
    for (let index = 0; index < samples.length; index++) channel[index] = samples[index] / 32768;
    const piece = new AudioBufferSourceNode(this.context, { buffer });
    piece.connect(this.gain);
    piece.onended = () => {
      if (this.pieces.delete(piece) && !this.playing) this.onQuiet();
    };
    this.pieces.add(piece);
    piece.start(this.next / this.rate);
    this.next += samples.length;
  }

  /** Fall silent at once, and forget what is not played yet. */
  flush() {
    if (!this.playing) return;
    const end = this.context.currentTime + FADE_S;
    this.gain.gain.setTargetAtTime(0, this.context.currentTime, FADE_S / 3);
    for (const piece of this.pieces) piece.stop(end);
    this.pieces.clear();
    this.next = 0;
    this.renew();
  }

  renew() {
    this.gain = this.context.createGain();
    this.gain.connect(this.context.destination);
  }
}
