import { describe, expect, it } from 'vitest';
import { createShiftWatch, type LaidRecord } from '#tokensieve/import/shift.js';

/** Numbers in [0, 1) from a seed (Lehmer). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

/** Records of a source whose losses have something to do with their ids, as all losses have. */
function records(count: number, length: number, seed = 1): { ids: number[]; losses: number[] }[] {
  const next = random(seed);
  return Array.from({ length: count }, () => {
    const ids = Array.from({ length }, () => Math.floor(40 * next() ** 2));
    const losses = ids.map((id, i) => (i === 0 ? Number.NaN : 0.1 + id / 10 + next()));
    return { ids, losses };
  });
}

const laid = (ids: readonly number[], values: readonly number[], firstIsTarget = false): LaidRecord => ({
  place: 's.jsonl: line 1',
  name: 'x part 0, row 0',
  ids,
  values,
  targets: ids.map((_, i) => i > 0 || firstIsTarget),
  given: [0, ids.length],
});

const left = (losses: readonly number[], last: number): number[] => [...losses.slice(1), last];

function outcome(all: readonly LaidRecord[]): string {
  const watch = createShiftWatch();
  try {
    for (const record of all) watch.record(record);
    watch.check();
    return 'taken';
  } catch (error) {
    return String(error);
  }
}

describe('values beside the wrong ids', () => {
  it('a value where nothing precedes, whatever stands at the end', () => {
    for (const [{ ids, losses } = { ids: [], losses: [] }] of [records(1, 5)])
      for (const last of [0, Number.NaN, 3])
        expect(outcome([laid(ids, left(losses, last))])).toMatch(/position 0 .*nothing precedes/);
  });

  it('but rows of a stream may repeat the loss of the id that they repeat', () => {
    expect(outcome([laid([1, 2, 3], [Number.NaN, 4, 5]), laid([3, 4], [5, 6])])).toBe('taken');
    expect(outcome([laid([1, 2, 3], [Number.NaN, 4, 5]), laid([3, 4], [6, 6])])).toMatch(/nothing precedes/);
  });

  it('exactly 0, or nothing, at every end and nowhere else, where a first token is a target', () => {
    const few = records(3, 12);
    for (const last of [0, Number.NaN]) {
      expect(outcome(few.map(({ ids, losses }) => laid(ids, left(losses, last), true)))).toMatch(
        /all 3 records .*last target/,
      );
      const right = few.map(({ ids, losses }) => laid(ids, [0, last, ...losses.slice(1, -1)]));
      expect(outcome(right)).toMatch(/all 3 records .*first target/);
    }
  });

  it('tokens that lose nothing are real: some ends, or others beside them', () => {
    const few = records(3, 12).map(({ ids, losses }, k) =>
      laid(
        ids,
        losses.map((v, i) => (i === 11 && k < 2 ? 0 : v)),
      ),
    );
    expect(outcome(few)).toBe('taken');
    const many = records(3, 12).map(({ ids, losses }) =>
      laid(
        ids,
        losses.map((v, i) => (i === 11 || i === 5 ? 0 : v)),
      ),
    );
    expect(outcome(many)).toBe('taken');
  });

  it('losses that the next id foretells, or the one before; right ones and few ones are taken', () => {
    const many = records(60, 100);
    const first = (values: readonly number[]): number[] => [0, ...values.slice(1)];
    expect(outcome(many.map(({ ids, losses }) => laid(ids, losses)))).toBe('taken');
    expect(outcome(many.map(({ ids, losses }) => laid(ids, first(left(losses, 2)))))).toMatch(
      /the next id foretells \d\d %/,
    );
    expect(outcome(many.map(({ ids, losses }) => laid(ids, [0, 2, ...losses.slice(1, -1)])))).toMatch(
      /the previous id foretells/,
    );
    expect(outcome(many.slice(0, 20).map(({ ids, losses }) => laid(ids, first(left(losses, 2)))))).toBe(
      'taken',
    );
    const noise = random(7);
    expect(outcome(many.map(({ ids }) => laid(ids, first(ids.map(() => noise())))))).toBe('taken');
  });
});
