/*
 * How long the torture tests run, and what they choose. Each runs short as part of the tests, and for as long as one likes:
 * ./dev torture NAME --minutes M, which sets MINUTES. SEED repeats a run's choices (the machine's
 * timing is never the same).
 */
export const MINUTES = Number(process.env.MINUTES ?? 0);

/* A small deterministic generator (xorshift32): random() below 1, pick(list). */
export const seeded = (seed) => {
  let state = seed >>> 0 || 1;
  const random = () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
  return { random, pick: (list) => list[Math.floor(random() * list.length)] };
};

export const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);

/* Goes on until `rounds` are done or, if longer, until the minutes are over. */
export const untilOver = (rounds) => {
  const end = Date.now() + MINUTES * 60000;
  let round = 0;
  return () => round++ < rounds || Date.now() < end;
};
