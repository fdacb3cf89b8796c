import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BatchRules, lengthLadder, planBatches, windowsOf } from '#tokensieve/score/batches.js';
import type { Sequence } from '#tokensieve/sequence/sequence.js';

function sequenceOf(id: number, length: number, targets = true): Sequence {
  const eligible = new Uint8Array(length).fill(targets ? 1 : 0);
  if (length > 0) eligible[0] = 0;
  const half = length >> 1;
  const segment = { document: id, byteStart: 0, byteEnd: 0 };
  return {
    id,
    ids: Int32Array.from({ length }, (_, i) => 100 * id + i + 1),
    eligible,
    segments: [
      { ...segment, tokenStart: 0, tokenCount: half },
      { ...segment, tokenStart: half, tokenCount: length - half },
    ],
  };
}

const rules: BatchRules = {
  batchTokens: 512,
  length: 256,
  attention: 'across',
  windowBatches: 8,
  fixedRows: false,
};

describe('batches', () => {
  it('every sequence with a target is in exactly one batch, whole, within the token budget', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 256 }), { maxLength: 60 }),
        fc.boolean(),
        (lengths, fixedRows) => {
          const window = lengths.map((length, id) => sequenceOf(id, length));
          const batches = planBatches(window, { ...rules, fixedRows });
          const found: number[] = [];
          for (const batch of batches) {
            expect(batch.rows * batch.length).toBeLessThanOrEqual(512);
            if (fixedRows) expect(batch.rows).toBe(Math.floor(512 / batch.length));
            batch.sequences.forEach((sequence, row) => {
              found.push(sequence.id);
              const ids = batch.ids.subarray(row * batch.length, (row + 1) * batch.length);
              expect([...ids.subarray(0, sequence.ids.length)]).toEqual([...sequence.ids]);
              expect(ids.subarray(sequence.ids.length).every((id) => id === 0)).toBe(true);
            });
          }
          // A row of one id has no target.
          const expected = window.filter((s) => s.ids.length > 1).map((s) => s.id);
          expect(found.sort((a, b) => a - b)).toEqual(expected);
        },
      ),
    );
  });

  it('keeps padding below a third of a row', () => {
    for (const length of [65, 100, 130, 200, 255]) {
      const [batch] = planBatches([sequenceOf(0, length)], rules);
      expect(length / (batch?.length ?? 0)).toBeGreaterThan(2 / 3);
    }
    expect(lengthLadder(2048)).toEqual([64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048]);
    expect(lengthLadder(100)).toEqual([64, 96, 100]);
    expect(lengthLadder(16)).toEqual([16]);
  });

  it('full rows make full batches, window after window', async () => {
    const odd: BatchRules = {
      batchTokens: 512,
      length: 200,
      attention: 'across',
      windowBatches: 1,
      fixedRows: false,
    };
    async function* groups(): AsyncGenerator<Sequence[]> {
      yield Array.from({ length: 9 }, (_, id) => sequenceOf(id, 200));
    }
    const rows: number[] = [];
    for await (const window of windowsOf(groups(), odd))
      rows.push(...planBatches(window, odd).map((b) => b.rows));
    expect(rows).toEqual([2, 2, 2, 2, 1]);
  });

  it('attention within restarts positions at each segment and walls padding off', () => {
    const [batch] = planBatches([sequenceOf(0, 5)], { ...rules, length: 8, attention: 'within' });
    expect([...(batch?.positions ?? [])]).toEqual([0, 1, 0, 1, 2, 0, 0, 0]);
    expect([...(batch?.documents ?? [])]).toEqual([0, 0, 1, 1, 1, 2, 2, 2]);
  });

  it('windows depend on the sequences, not on how they were grouped', async () => {
    const all = Array.from({ length: 300 }, (_, id) => sequenceOf(id, 1 + ((id * 37) % 256)));
    const windows = async (group: number): Promise<number[][]> => {
      async function* groups(): AsyncGenerator<Sequence[]> {
        for (let at = 0; at < all.length; at += group) yield all.slice(at, at + group);
      }
      const found: number[][] = [];
      for await (const window of windowsOf(groups(), rules)) found.push(window.map((s) => s.id));
      return found;
    };
    const one = await windows(1);
    expect(await windows(7)).toEqual(one);
    expect(await windows(300)).toEqual(one);
    expect(one.length).toBeGreaterThan(1);
    expect(one.flat()).toEqual(all.map((s) => s.id));
  });
});
