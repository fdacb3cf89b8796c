/** Draws that a target's name, the seed and the input's number decide: any input can be made again alone. */
export function drawsOf(name, seed, index) {
  let state = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b);
  for (const char of name) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193);
  /** mulberry32 */
  const word = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (limit) => (limit <= 0 ? 0 : Math.floor((word() / 2 ** 32) * limit));
  return {
    below,
    /** Mostly small, now and then up to `limit` − 1. */
    small: (limit) => below(Math.min(limit, 2 ** (1 + below(Math.ceil(Math.log2(limit + 1)))))),
    pick: (items) => items[below(items.length)],
    chance: (share) => word() / 2 ** 32 < share,
  };
}
