// On the audio thread: microphone samples become pieces of 40 ms, signed 16-bit, at the gateway's rate.
import { Resampler } from "./resampler.js";

const PIECE_MS = 40;

class Capture extends AudioWorkletProcessor {
  constructor(options) {
    super();
    const { rate } = options.processorOptions;
    this.resampler = new Resampler(sampleRate, rate);
    this.piece = new Int16Array((rate * PIECE_MS) / 1000);
    this.filled = 0;
    this.peak = 0;
    this.open = true;
    this.port.onmessage = () => this.end();
  }

  process([input]) {
    // No channel: the microphone has not begun yet.
    if (this.open && input.length > 0) this.take(this.resampler.push(mixed(input)));
    return this.open;
  }

  take(samples) {
    for (const sample of samples) {
      const value = Math.max(-1, Math.min(1, sample));
      this.peak = Math.max(this.peak, Math.abs(value));
      this.piece[this.filled++] = Math.round(value * 32767);
      if (this.filled === this.piece.length) this.send();
    }
  }

  send() {
    if (this.filled === 0) return;
    // Little-endian, as every browser's machine is.
    const audio = this.piece.slice(0, this.filled).buffer;
    this.port.postMessage({ audio, level: this.peak }, [audio]);
    this.filled = 0;
    this.peak = 0;
  }

  end() {
    if (!this.open) return;
    this.open = false;
    this.take(this.resampler.flush());
    this.send();
    this.port.postMessage({ ended: true });
  }
}

function mixed(channels) {
  if (channels.length === 1) return channels[0];
  const sum = new Float32Array(channels[0].length);
  for (const channel of channels) for (let index = 0; index < sum.length; index++) sum[index] += channel[index];
  return sum.map((value) => value / channels.length);
}

registerProcessor("capture", Capture);
