/* Times in ms, and how they are told. */
export const sorted = (times) => [...times].sort((a, b) => a - b);

export const quantile = (times, q) => {
  const all = sorted(times);
  return all[Math.min(all.length - 1, Math.floor(all.length * q))];
};

export const figures = (times, quantiles = [0.5, 0.9, 0.99]) =>
  [...quantiles.map((q) => `p${q * 100} ${quantile(times, q).toFixed(2)}`),
    `max ${quantile(times, 1).toFixed(2)} ms`].join('  ');
