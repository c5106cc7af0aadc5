/**
 * How often something may happen: `burst` times at once, and `perSecond` times for good. What is earned by useful
 * work comes on top. Looks at the clock only when it is used up.
 */
export class Allowance {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #left: number;
  #sinceMs: number;

  constructor(options: { burst: number; perSecond: number; now: () => number }) {
    this.#burst = options.burst;
    this.#perSecond = options.perSecond;
    this.#now = options.now;
    this.#left = options.burst;
    this.#sinceMs = options.now();
  }

  /** False: that is too much. */
  take(count = 1): boolean {
    this.#left -= count;
    return this.#left >= 0 || this.#refill();
  }

  earn(count: number): void {
    if (this.#left < this.#burst) this.#left += count;
  }

  #refill(): boolean {
    const nowMs = this.#now();
    this.#left = Math.min(this.#burst, this.#left + ((nowMs - this.#sinceMs) / 1000) * this.#perSecond);
    this.#sinceMs = nowMs;
    return this.#left >= 0;
  }
}
