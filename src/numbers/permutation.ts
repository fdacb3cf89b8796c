import { type PhiloxKey, philox4x32 } from './philox.js';

/**
 * The permutation of 0 … n − 1 that a key and three counter words name: Fisher–Yates from the end, where place i
 * is exchanged with place ⌊word(i) · (i + 1) / 2³²⌋. Word i is output word (i mod 4) of the Philox block
 * [⌊i / 4⌋, a, b, c]: any permutation can be had at any time, without those before it. The bias against a place is
 * below n / 2³².
 * @param n below 2³¹
 */
export function permutation(n: number, key: PhiloxKey, a: number, b: number, c: number): Uint32Array {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  const words = new Uint32Array(4);
  for (let i = n - 1, block = -1; i > 0; i--) {
    if (i >>> 2 !== block) {
      block = i >>> 2;
      philox4x32(block, a, b, c, key, words, 0);
    }
    const j = Math.floor(((words[i & 3] ?? 0) * (i + 1)) / 2 ** 32);
    const last = order[i] ?? 0;
    order[i] = order[j] ?? 0;
    order[j] = last;
  }
  return order;
}
