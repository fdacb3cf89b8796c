/** Seeded samples of tokens, and what is told of a token in one. */
import type { SequenceBatch } from '../../dataset/sequence-batch.js';
import { type PhiloxKey, philox4x32, philoxKey } from '../../numbers/philox.js';
import type { TokenTexts } from '../../texts/token-texts.js';
import type { Example } from './example-report.js';

/** Ids of its row shown on either side of a token. */
const CONTEXT = 12;

/** The `size` items of the smallest words: a uniform sample, whatever the order and the number of items. */
export interface Sample<T> {
  /** Whether an item of this word would be taken, so that it need not be made otherwise. */
  takes(word: number): boolean;
  add(word: number, item: T): void;
  /** In the order in which they were added. */
  items(): readonly T[];
}

export function createSample<T>(size: number): Sample<T> {
  let held: { readonly word: number; readonly item: T }[] = [];
  let largest = size === 0 ? -1 : 2 ** 32;
  return {
    takes: (word) => word < largest,
    add(word, item) {
      if (!(word < largest)) return;
      if (held.length === size)
        held = held.toSpliced(
          held.findIndex((one) => one.word === largest),
          1,
        );
      held.push({ word, item });
      if (held.length === size) largest = held.reduce((most, one) => Math.max(most, one.word), 0);
    },
    items: () => held.map(({ item }) => item),
  };
}

/** The key of a shard's draws. Not that of selection by `random`, whose draws say what is kept. */
export const sampleKey = (seed: number, shard: string): PhiloxKey => philoxKey(seed, `audit\n${shard}`);

/** One random word a token of a row, by where the row is: [tokens] of `out`, which has room for three more. */
export function drawRow(
  key: PhiloxKey,
  part: number,
  sequence: bigint,
  tokens: number,
  out: Uint32Array,
): void {
  const row = BigInt.asUintN(64, sequence);
  const [low, high] = [Number(row & 0xffff_ffffn), Number(row >> 32n)];
  for (let block = 0; block * 4 < tokens; block++) philox4x32(block, low, high, part, key, out, block * 4);
}

/** Room for the words of a batch's longest row. */
export function drawRoom({ offsets }: SequenceBatch): Uint32Array {
  let longest = 0;
  for (let row = 0; row + 1 < offsets.length; row++) {
    longest = Math.max(longest, (offsets[row + 1] ?? 0) - (offsets[row] ?? 0));
  }
  return new Uint32Array(longest + 3);
}

/** The token at `position` of row `row` of the batch. */
export function exampleOf(
  { shard, part }: { readonly shard: string; readonly part: number },
  batch: SequenceBatch,
  row: number,
  position: number,
): Example {
  const [start, end] = [batch.offsets[row] ?? 0, batch.offsets[row + 1] ?? 0];
  const at = start + position;
  return {
    shard,
    part,
    sequence: Number(batch.sequenceIds[row] ?? 0n),
    position,
    document: documentAt(batch, row, position),
    ids: {
      before: [...batch.inputIds.subarray(Math.max(start, at - CONTEXT), at)],
      token: batch.inputIds[at] ?? 0,
      after: [...batch.inputIds.subarray(at + 1, Math.min(end, at + 1 + CONTEXT))],
    },
    text: null,
  };
}

function documentAt({ segments }: SequenceBatch, row: number, position: number): number | null {
  for (let s = segments.offsets[row] ?? 0; s < (segments.offsets[row + 1] ?? 0); s++) {
    const start = segments.tokenStart[s] ?? 0;
    if (position >= start && position < start + (segments.tokenCount[s] ?? 0))
      return Number(segments.document[s]);
  }
  return null;
}

/** What spells ids out. */
export type Speller = Pick<TokenTexts, 'text' | 'join'>;

/** The example with its text. */
export function spelled<T extends Example>(example: T, { text, join }: Speller): T {
  const { before, token, after } = example.ids;
  return { ...example, text: { before: join(before), token: text(token), after: join(after) } };
}
