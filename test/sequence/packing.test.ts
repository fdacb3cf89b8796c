import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPacker, type PackingRules, type TokenizedDocument } from '#tokensieve/sequence/packing.js';
import type { Sequence } from '#tokensieve/sequence/sequence.js';

const BOS = 1;
const EOS = 2;

/** A document whose token i covers bytes [3i, 3i + 3); ids begin at 10 so that none is BOS or EOS. */
function documentOf(row: number, length: number): TokenizedDocument {
  return {
    row,
    ids: Int32Array.from({ length }, (_, i) => 10 + ((row * 7 + i) % 50)),
    textBytes: 3 * length,
    offsets: () => ({
      byteStart: Int32Array.from({ length }, (_, i) => 3 * i),
      byteEnd: Int32Array.from({ length }, (_, i) => 3 * i + 3),
    }),
  };
}

function packAll(documents: readonly TokenizedDocument[], rules: PackingRules): Sequence[] {
  const packer = createPacker(rules);
  return [...documents.flatMap((document) => packer.push(document)), ...packer.finish()];
}

interface NaiveToken {
  row: number;
  position: number;
  id: number;
  isBos: boolean;
  isEos: boolean;
  first: boolean;
}

/** Every token of the part as one list: the slow and obvious view that packing must agree with. */
function naiveStream(lengths: readonly number[], rules: PackingRules): NaiveToken[][] {
  return lengths.map((length, row) => {
    const ids: number[] = [...documentOf(row, length).ids];
    if (rules.bosId !== null) ids.unshift(rules.bosId);
    if (rules.eosId !== null) ids.push(rules.eosId);
    return ids.map((id, position) => ({
      row,
      position,
      id,
      isBos: rules.bosId !== null && position === 0,
      isEos: rules.eosId !== null && position === ids.length - 1,
      first: position === 0,
    }));
  });
}

function naivePacked(
  lengths: readonly number[],
  rules: PackingRules,
): { ids: number[]; eligible: number[] }[] {
  const stream = naiveStream(lengths, rules).flat();
  const rows: { ids: number[]; eligible: number[] }[] = [];
  for (
    let start = 0;
    start === 0 ? stream.length > 0 : start + 1 < stream.length;
    start += rules.length - 1
  ) {
    const tokens = stream.slice(start, start + rules.length);
    rows.push({
      ids: tokens.map((t) => t.id),
      eligible: tokens.map((t, i) =>
        i > 0 && !t.isBos && (rules.eosEligible || !t.isEos) && (rules.attention === 'across' || !t.first)
          ? 1
          : 0,
      ),
    });
  }
  return rows;
}

const rulesArbitrary = fc
  .record({
    length: fc.integer({ min: 2, max: 12 }),
    packing: fc.constantFrom('packed' as const, 'document' as const),
    attention: fc.constantFrom('across' as const, 'within' as const),
    overlapShare: fc.double({ min: 0, max: 1, noNaN: true }),
    bosId: fc.constantFrom(BOS, null),
    eosId: fc.constantFrom(EOS, null),
    eosEligible: fc.boolean(),
  })
  .map(
    ({ overlapShare, ...rules }): PackingRules => ({
      ...rules,
      overlap: 1 + Math.floor(overlapShare * (rules.length - 2)),
    }),
  );
const lengthsArbitrary = fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 12 });

describe('packing', () => {
  it('packed rows are windows of the part’s stream with a stride of length − 1', () => {
    fc.assert(
      fc.property(rulesArbitrary, lengthsArbitrary, (anyRules, lengths) => {
        const rules: PackingRules = { ...anyRules, packing: 'packed' };
        const rows = packAll(
          lengths.map((n, row) => documentOf(row, n)),
          rules,
        );
        expect(rows.map((r) => ({ ids: [...r.ids], eligible: [...r.eligible] }))).toEqual(
          naivePacked(lengths, rules),
        );
        expect(rows.map((r) => r.id)).toEqual(rows.map((_, i) => i));
      }),
      { numRuns: 500 },
    );
  });

  it('every token that should be a target is one exactly once, whatever the packing', () => {
    fc.assert(
      fc.property(rulesArbitrary, lengthsArbitrary, (rules, lengths) => {
        const rows = packAll(
          lengths.map((n, row) => documentOf(row, n)),
          rules,
        );
        const counted = new Map<string, number>();
        // Positions of a document are rebuilt from the order of its rows, not from what the packer says.
        const seen = new Map<number, number>();
        for (const row of rows) {
          for (const segment of row.segments) {
            const before = seen.get(segment.document);
            const overlap =
              before === undefined ? 0 : rules.packing === 'document' ? Math.min(rules.overlap, before) : 1;
            const start = (before ?? 0) - overlap;
            for (let i = 0; i < segment.tokenCount; i++) {
              if (row.eligible[segment.tokenStart + i] === 1) {
                const key = `${segment.document}:${start + i}`;
                counted.set(key, (counted.get(key) ?? 0) + 1);
              }
            }
            seen.set(segment.document, start + segment.tokenCount);
          }
        }
        let firstOfPart = true;
        for (const document of naiveStream(lengths, rules)) {
          for (const token of document) {
            const noContext =
              (rules.packing === 'packed' && firstOfPart) ||
              (token.first && (rules.packing === 'document' || rules.attention === 'within'));
            firstOfPart = false;
            const target = !noContext && !token.isBos && (rules.eosEligible || !token.isEos);
            expect(counted.get(`${token.row}:${token.position}`) ?? 0).toBe(target ? 1 : 0);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('segments cover each row in order and name the bytes of their tokens', () => {
    fc.assert(
      fc.property(rulesArbitrary, lengthsArbitrary, (rules, lengths) => {
        for (const row of packAll(
          lengths.map((n, r) => documentOf(r, n)),
          rules,
        )) {
          let at = 0;
          for (const segment of row.segments) {
            expect(segment.tokenStart).toBe(at);
            expect(segment.tokenCount).toBeGreaterThan(0);
            at += segment.tokenCount;
            const texts = [...row.ids.subarray(segment.tokenStart, at)].filter((id) => id >= 10).length;
            expect(segment.byteEnd - segment.byteStart).toBe(3 * texts);
          }
          expect(at).toBe(row.ids.length);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('asks for offsets only where a row cuts a document', () => {
    let asked = 0;
    const counting = (row: number, length: number): TokenizedDocument => {
      const plain = documentOf(row, length);
      return {
        ...plain,
        offsets: () => {
          asked++;
          return plain.offsets();
        },
      };
    };
    const rules: PackingRules = {
      length: 8,
      packing: 'packed',
      attention: 'across',
      overlap: 2,
      bosId: BOS,
      eosId: EOS,
      eosEligible: true,
    };
    packAll([counting(0, 2), counting(1, 2)], rules);
    expect(asked).toBe(0);
    packAll([counting(0, 20)], rules);
    expect(asked).toBeGreaterThan(0);
  });

  it('a token without a byte range takes its neighbour’s', () => {
    const document: TokenizedDocument = {
      row: 0,
      ids: Int32Array.of(10, 11, 12, 13),
      textBytes: 9,
      offsets: () => ({ byteStart: Int32Array.of(0, -1, -1, 6), byteEnd: Int32Array.of(3, -1, -1, 9) }),
    };
    const rows = packAll([document], {
      length: 3,
      packing: 'packed',
      attention: 'across',
      overlap: 1,
      bosId: null,
      eosId: null,
      eosEligible: true,
    });
    expect(rows.map((r) => r.segments.map((s) => [s.byteStart, s.byteEnd]))).toEqual([[[0, 3]], [[6, 9]]]);
  });
});
