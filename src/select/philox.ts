import { createHash } from 'node:crypto';
import type { Tokens } from './tokens.js';

/**
 * Random words that depend on where a token stands and on nothing else: Philox4x32-10, the counter-based
 * generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
 *
 * key     = first 8 bytes of SHA-256 of the UTF-8 text "tokensieve\n<seed>\n<shard>", two little-endian words
 * counter = [⌊position / 4⌋, row mod 2³², ⌊row / 2³²⌋, part], row being the sequence id
 * word    = output word number (position mod 4)
 */
export const DRAWS = 'philox4x32-10(seed,shard;position,row,part)';

export type PhiloxKey = readonly [number, number];

export function philoxKey(seed: number, shard: string): PhiloxKey {
  const digest = createHash('sha256').update(`tokensieve\n${seed}\n${shard}`, 'utf8').digest();
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}

/** High 32 bits of a 32 × 32 bit product, by 16-bit halves (JavaScript has none). */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const cross = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 0x1_0000) + Math.floor(cross / 0x1_0000)) >>> 0;
}

/** Ten rounds; the four words of the block are written to `out` at `at`. */
export function philox4x32(
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  key: PhiloxKey,
  out: Uint32Array,
  at: number,
): void {
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const low0 = Math.imul(0xd251_1f53, c0);
    const high0 = mulHigh(0xd251_1f53, c0);
    const low1 = Math.imul(0xcd9e_8d57, c2);
    const high1 = mulHigh(0xcd9e_8d57, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + 0x9e37_79b9) >>> 0;
    k1 = (k1 + 0xbb67_ae85) >>> 0;
  }
  out[at] = c0;
  out[at + 1] = c1;
  out[at + 2] = c2;
  out[at + 3] = c3;
}

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

/** A word as a number strictly between 0 and 1, exact in fp64. */
export const openUniform = (word: number): number => (word + 0.5) / 2 ** 32;
