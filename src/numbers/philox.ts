import { createHash } from 'node:crypto';

/**
 * Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
 * (SC 2011): a word depends on key and counter alone, never on what was drawn before it.
 *
 * key = first 8 bytes of SHA-256 of the UTF-8 text "tokensieve\n<seed>\n<name>", two little-endian words
 */
export type PhiloxKey = readonly [number, number];

export function philoxKey(seed: number, name: string): PhiloxKey {
  const digest = createHash('sha256').update(`tokensieve\n${seed}\n${name}`, 'utf8').digest();
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

/** Ten rounds over the counter [c0, c1, c2, c3]; the four words of the block are written to `out` at `at`. */
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

/** A word as a number strictly between 0 and 1, exact in fp64. */
export const openUniform = (word: number): number => (word + 0.5) / 2 ** 32;
