import type { EligibleTokens } from '../eligible.js';
import { createRunTable, type Occurrence, type RepeatedRun } from './ngram-table.js';

/** Ids that must be equal to count as repeated. */
export const RUN_LENGTH = 12;
/** Runs seen once that are remembered: 36 bytes each. */
const RECENT = 1 << 20;
/** Runs seen twice and more that are counted: some 130 bytes each. */
const COUNTED = 1 << 17;

const BASE1 = 0x01b8_73b5;
const BASE2 = 0x2545_f491;
const power = (base: number): number => {
  let product = 1;
  for (let i = 0; i < RUN_LENGTH; i++) product = Math.imul(product, base);
  return product;
};
const [TOP1, TOP2] = [power(BASE1), power(BASE2)];

/** An id spread over 32 bits: neighbouring ids are no neighbours any more. */
const spread = (id: number): number => {
  const x = Math.imul(id + 1, 0x9e37_79b1);
  return x ^ (x >>> 15);
};

/**
 * Finds runs of ids that come again, in one pass and fixed memory (about 50 MB). A table of the last million or so
 * runs holds each new one; a run that is still there when it comes again is counted from its first occurrence on. A
 * run is missed while its occurrences lie millions of tokens apart: those make up little of a corpus.
 */
export interface RepeatedFinder {
  /** Adds the eligible tokens [from, to) of one document and row. @param document serial number */
  add(tokens: EligibleTokens, from: number, to: number, document: number): void;
  runs(): RepeatedRun[];
  /** Whether rare runs had to be let go. */
  readonly full: () => boolean;
}

/** Numbers of the table of recent runs: tag, document, span, end, kept, and two sums of excess. */
const FIELDS = 8;

/** @param recent runs that are remembered · @param counted runs that are counted: both powers of two */
export function createRepeatedFinder(recent = RECENT, counted = COUNTED): RepeatedFinder {
  const table = createRunTable(RUN_LENGTH, counted);
  // The first tags lie by themselves: most looks need nothing else, and they fit a processor's cache.
  const tags = new Int32Array(recent);
  const integers = new Int32Array(recent * FIELDS);
  const floats = new Float32Array(integers.buffer);
  const one: Occurrence = blank();
  const before: Occurrence = blank();
  let span = 0;

  /** A run that is not counted: counted from now on if it is remembered, remembered if it is not. */
  const look = (ids: Int32Array, from: number): void => {
    const slot = (one.tag1 ^ (one.tag2 >>> 7)) & (recent - 1);
    const at = slot * FIELDS;
    if (tags[slot] === one.tag1 && integers[at] === one.tag2 && integers[at + 2] !== 0) {
      const end = integers[at + 3] as number;
      if (integers[at + 2] === one.span && one.end - end < RUN_LENGTH) return;
      const packed = integers[at + 4] as number;
      before.document = integers[at + 1] as number;
      before.span = integers[at + 2] as number;
      before.end = end;
      before.kept = packed >> 1;
      before.lastKept = packed & 1;
      before.excess = floats[at + 5] as number;
      before.lastExcess = floats[at + 6] as number;
      table.insert(before, one, ids, from);
      return;
    }
    tags[slot] = one.tag1;
    integers[at] = one.tag2;
    integers[at + 1] = one.document;
    integers[at + 2] = one.span;
    integers[at + 3] = one.end;
    integers[at + 4] = (one.kept << 1) | one.lastKept;
    floats[at + 5] = one.excess;
    floats[at + 6] = one.lastExcess;
  };

  return {
    full: () => table.purges() > 0,
    runs: table.runs,
    add({ ids, position, kept, excess }, from, to, document) {
      if (to - from < RUN_LENGTH) return;
      span = (span + 1) & 0x7fff_ffff || 1;
      let [hash1, hash2, keptIn, excessIn] = [0, 0, 0, 0];
      for (let i = from; i < to; i++) {
        const incoming = spread(ids[i] as number);
        hash1 = (Math.imul(hash1, BASE1) + incoming) | 0;
        hash2 = (Math.imul(hash2, BASE2) + incoming) | 0;
        if (kept !== undefined) keptIn += kept[i] as number;
        if (excess !== undefined) excessIn += excess[i] as number;
        const out = i - RUN_LENGTH;
        if (out >= from) {
          const outgoing = spread(ids[out] as number);
          hash1 = (hash1 - Math.imul(outgoing, TOP1)) | 0;
          hash2 = (hash2 - Math.imul(outgoing, TOP2)) | 0;
          if (kept !== undefined) keptIn -= kept[out] as number;
          if (excess !== undefined) excessIn -= excess[out] as number;
        }
        const first = out + 1;
        // Tokens without a loss between two others are no part of the run, so neither are these.
        if (first < from || (position[i] as number) - (position[first] as number) !== RUN_LENGTH - 1)
          continue;
        const mixed = Math.imul(hash1 ^ (hash1 >>> 16), 0x85eb_ca6b);
        one.tag1 = mixed ^ (mixed >>> 13);
        one.tag2 = hash2;
        one.document = document;
        one.span = span;
        one.end = i;
        one.kept = keptIn;
        one.lastKept = kept === undefined ? 0 : (kept[i] as number);
        one.excess = excessIn;
        one.lastExcess = excess === undefined ? 0 : (excess[i] as number);
        if (!table.count(one)) look(ids, first);
      }
    },
  };
}

const blank = (): Occurrence => ({
  tag1: 0,
  tag2: 0,
  document: 0,
  span: 0,
  end: 0,
  kept: 0,
  lastKept: 0,
  excess: 0,
  lastExcess: 0,
});
