/* A small generator of random numbers with a seed (mulberry32), so that a failure can be had again. */
export class Random {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /* 0 <= x < 1 */
  real() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /* An integer of 0..limit - 1. */
  below(limit) {
    return Math.floor(this.real() * limit);
  }

  chance(probability) {
    return this.real() < probability;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  /* Those of the list that a coin with `probability` keeps. */
  some(list, probability) {
    return list.filter(() => this.chance(probability));
  }

  shuffle(list) {
    const copy = [...list];
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [copy[i], copy[j]] = [copy[j], copy[i]];
    }
    return copy;
  }
}

/* What the tests of this folder run with: SEED and RUNS from the environment. */
export const settings = (defaultRuns) => ({
  seed: Number(process.env.SEED ?? 1),
  runs: Number(process.env.RUNS ?? defaultRuns),
});
