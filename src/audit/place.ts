import { createHash } from 'node:crypto';

/** Where a token stands in a run's files. */
export interface TokenPlace {
  /** Index of the part in the run's order. */
  readonly part: number;
  readonly batch: number;
  /** Row of the batch, and position in it. */
  readonly row: number;
  readonly position: number;
}

/** 32 bits for a shard's name and a seed: the beginning of every draw over its tokens. */
export function shardSeed(seed: number, shard: string): number {
  return createHash('sha256').update(`tokensieve\n${seed}\naudit\n${shard}`, 'utf8').digest().readUInt32LE(0);
}

/**
 * A draw in [0, 2^31) for the n-th eligible token of a document: a function of where the token is in its shard, so
 * that it does not depend on how the shard was cut into parts (MurmurHash3's finaliser over both numbers).
 */
export function drawOf(seed: number, document: number, nth: number): number {
  let h = (seed ^ Math.imul(document + 1, 0x9e37_79b1)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h ^= Math.imul(nth + 1, 0xc2b2_ae35);
  h = Math.imul(h ^ (h >>> 13), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 1;
}
