import { philox4x32, philoxKey } from '../numbers/philox.js';
import type { Tokens } from './tokens.js';

/**
 * Random words that depend on where a token stands and on nothing else: Philox4x32-10 with
 *
 * key     = of the seed and the shard's name (src/numbers/philox.ts)
 * counter = [⌊position / 4⌋, row mod 2³², ⌊row / 2³²⌋, part], row being the sequence id
 * word    = output word number (position mod 4)
 */
export const DRAWS = 'philox4x32-10(seed,shard;position,row,part)';

/** One random 32-bit word a token. [length] */
export function drawWords(tokens: Tokens, seed: number): Uint32Array {
  const { batch, source } = tokens;
  const key = philoxKey(seed, source.shard);
  // Three spare places: the last block of a row may pass the end.
  const words = new Uint32Array(tokens.length + 3);
  for (let row = tokens.rowStart; row < tokens.rowEnd; row++) {
    const id = BigInt.asUintN(64, batch.sequenceIds[row] ?? 0n);
    const rowLow = Number(id & 0xffff_ffffn);
    const rowHigh = Number(id >> 32n);
    const base = (batch.offsets[row] ?? 0) - tokens.start;
    const length = (batch.offsets[row + 1] ?? 0) - tokens.start - base;
    for (let block = 0; block * 4 < length; block++) {
      philox4x32(block, rowLow, rowHigh, source.part, key, words, base + block * 4);
    }
  }
  return words.subarray(0, tokens.length);
}
