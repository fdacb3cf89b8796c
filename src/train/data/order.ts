import { philox4x32, philoxKey } from '../../random/philox.js';

const cache = new Map<string, Int32Array>();
/** A permutation of n by (seed, epoch). */
export function randomOrder(n: number, seed: number, epoch: number): Int32Array {
  const name = `${n} ${seed} ${epoch}`;
  const known = cache.get(name);
  if (known) return known;
  const key = philoxKey(seed, `rows ${epoch}`);
  const words = new Uint32Array(4);
  const order = Int32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    philox4x32(i, 0, 0, 0, key, words, 0);
    const j = (words[0] ?? 0) % (i + 1);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  cache.set(name, order);
  return order;
}
