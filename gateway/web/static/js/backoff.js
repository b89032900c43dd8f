// Waiting longer after each failure, within a bound; a little by chance, so that many pages do not come at once.
export class Backoff {
  constructor(first = 500, most = 15_000) {
    this.first = first;
    this.most = most;
    this.failures = 0;
  }

  /** Milliseconds until the next try. */
  next() {
    const wait = Math.min(this.first * 2 ** this.failures, this.most);
    this.failures += 1;
    return wait * (0.8 + 0.4 * Math.random());
  }

  reset() {
    this.failures = 0;
  }
}
