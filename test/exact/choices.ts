/** The choices of one stream, in order: the same seed, the same choices. */
export interface Choices {
  /** A whole number from 0 to below `end`. */
  below(end: number): number;
  /** True that often, of 1. */
  chance(share: number): boolean;
  oneOf<T>(values: readonly T[]): T;
}

/** mulberry32 (public domain, T. Ettinger). `stream` tells apart those that draw by the same seed. */
export function createChoices(seed: number, stream: number): Choices {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0;
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  return {
    below: (end) => Math.floor(next() * end),
    chance: (share) => next() < share,
    oneOf: (values) => values[Math.floor(next() * values.length)] as (typeof values)[number],
  };
}
