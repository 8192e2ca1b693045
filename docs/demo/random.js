// Random numbers from a seed, so that the page opens on the same scene for everybody.

// Returns a function that draws uniformly from [0, 1): a 32-bit xorshift generator.
export function generator(seed) {
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
  for (let i = 0; i < 8; i++) next(); // Close seeds start alike.
  return next;
}

// Standard normal numbers, by Box and Muller.
export function normal(random, count) {
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return radius * Math.cos(2 * Math.PI * random());
  });
}
