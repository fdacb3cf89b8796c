import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import type { ByteOffsets } from '#tokensieve/tokenizer/tokenizer.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';
import {
  byteFallback,
  byteLevel,
  corpusSample,
  NASTY_TEXTS,
  nativeFor,
  preparedFrom,
  sharedTokenizers,
} from './support.js';

const paths = [
  byteLevel,
  byteFallback,
  ...(hasSharedData ? sharedTokenizers().map((path) => join(sharedData, path)) : []),
];
const texts = [...NASTY_TEXTS, ...(hasSharedData ? corpusSample() : [])];

describe('one tokenizer, two engines', () => {
  it.skipIf(!hasSharedData)('is tried on every tokenizer of the shared data, and on enough text', () => {
    expect(paths.length).toBeGreaterThanOrEqual(11);
    expect(texts.reduce((sum, text) => sum + text.length, 0)).toBeGreaterThan(1e6);
    expect(
      texts.filter((text) => /<\/?s>|<\|endoftext\|>|<unk>|<pad>/.test(text)).length,
    ).toBeGreaterThanOrEqual(15);
  });

  it.each(paths)('gives the same ids and offsets: %s', { timeout: 300_000 }, async (path) => {
    const prepared = await preparedFrom(path);
    const native = await openTokenizer({ path, engine: 'native' });
    const portable = await openTokenizer({ path, engine: 'portable', workers: 2 });
    expect([portable.hash, portable.vocabularySize, portable.bosId, portable.eosId]).toEqual([
      native.hash,
      native.vocabularySize,
      native.bosId,
      native.eosId,
    ]);
    const composes = prepared.definition.normalizer?.type === 'NFC';
    const [fromLibrary, fromNative, fromPortable] = await Promise.all([
      (await nativeFor(prepared)).encode(texts),
      native.encode(texts),
      portable.encode(texts),
    ]);
    const differences: string[] = [];
    for (const [i, text] of texts.entries()) {
      const { ids } = fromLibrary[i]!;
      const offsets = fromPortable[i]!.offsets();
      const alike = {
        'portable ids': sameNumbers(fromPortable[i]!.ids, ids),
        'native ids': sameNumbers(fromNative[i]!.ids, ids),
        'native offsets': sameOffsets(fromNative[i]!.offsets(), offsets),
        offsets:
          composes && text.normalize('NFC') !== text
            ? around(offsets, fromLibrary[i]!.offsets(text))
            : sameOffsets(offsets, fromLibrary[i]!.offsets(text)),
      };
      for (const [what, same] of Object.entries(alike)) {
        if (!same) differences.push(`${what} of text ${i}: ${JSON.stringify(text.slice(0, 60))}`);
      }
    }
    expect(differences).toEqual([]);
    await portable.close();
  });
});

const sameNumbers = (a: Int32Array, b: Int32Array): boolean =>
  a.length === b.length && a.every((value, i) => value === b[i]);

const sameOffsets = (a: ByteOffsets, b: ByteOffsets): boolean =>
  sameNumbers(a.byteStart, b.byteStart) && sameNumbers(a.byteEnd, b.byteEnd);

/** Where characters were composed, the library's ranges lie in ours, for they leave the marks out; elsewhere they are ours. */
function around(ours: ByteOffsets, library: ByteOffsets): boolean {
  let differing = 0;
  for (const [i, start] of ours.byteStart.entries()) {
    const [from, to, end] = [library.byteStart[i]!, library.byteEnd[i]!, ours.byteEnd[i]!];
    if (start < 0 || start > from || end < to) return false;
    if (start !== from || end !== to) differing++;
  }
  return differing < 30;
}
