// From the microphone's sample rate to the gateway's, piece by piece: what comes out does not depend on how it was cut.
// A windowed sinc: what lies above the new rate's half is taken out first, or it would come back as noise in speech.

const ZEROS = 12;
const STEPS = 256;
const PASS = 0.92;

/** Half of the symmetric kernel, over ZEROS zero crossings, STEPS points each. */
function makeKernel() {
  const kernel = new Float32Array(ZEROS * STEPS + 2);
  for (let index = 0; index <= ZEROS * STEPS; index++) {
    const x = index / STEPS;
    const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
    const window = 0.42 + 0.5 * Math.cos((Math.PI * x) / ZEROS) + 0.08 * Math.cos((2 * Math.PI * x) / ZEROS);
    kernel[index] = sinc * window;
  }
  return kernel;
}

const KERNEL = makeKernel();

export class Resampler {
  /** Rates in Hz. */
  constructor(from, to) {
    this.step = from / to;
    this.cutoff = Math.min(1, to / from) * PASS;
    this.reach = Math.ceil(ZEROS / this.cutoff);
    // As if silence had come before, so that the first sample has neighbours.
    this.held = new Float32Array(this.reach);
    this.at = this.reach;
  }

  /** Float32Array in, Float32Array of what can be computed by now out. */
  push(samples) {
    const input = new Float32Array(this.held.length + samples.length);
    input.set(this.held);
    input.set(samples, this.held.length);
    const last = input.length - this.reach - 1;
    const count = Math.max(0, Math.floor((last - this.at) / this.step) + 1);
    const output = new Float32Array(count);
    for (let index = 0; index < count; index++) output[index] = this.sample(input, this.at + index * this.step);
    this.at += count * this.step;
    const kept = Math.max(0, Math.floor(this.at) - this.reach);
    this.held = input.slice(kept);
    this.at -= kept;
    return output;
  }

  /** What was held back for neighbours that will not come. */
  flush() {
    return this.push(new Float32Array(this.reach));
  }

  sample(input, at) {
    const first = Math.max(0, Math.ceil(at - this.reach));
    const last = Math.min(input.length - 1, Math.floor(at + this.reach));
    let sum = 0;
    for (let index = first; index <= last; index++) {
      const place = Math.abs(index - at) * this.cutoff * STEPS;
      const whole = Math.floor(place);
      if (whole >= ZEROS * STEPS) continue;
      const weight = KERNEL[whole] + (KERNEL[whole + 1] - KERNEL[whole]) * (place - whole);
      sum += input[index] * weight;
    }
    return sum * this.cutoff;
  }
}
