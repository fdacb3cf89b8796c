import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Task, taskBytes } from '#tokensieve/pack/work.js';
import { arrayShare } from '#tokensieve/parts/array-share.js';
import { tasksOfShare } from '#tokensieve/parts/share.js';

/** Parts of one parquet shard with these sizes. */
function tasks(sizes: readonly number[]): Task[] {
  const shard = { path: 'a.parquet', name: 'a.parquet', format: 'parquet' as const };
  const plan = { shard, identity: { name: shard.name, size: 1 }, rows: null, textBytes: 0, parts: [] };
  return sizes.map((textBytes, part) => ({
    plan,
    part: { part, rowStart: part, rowEnd: part + 1, rowGroups: [part, part + 1] as const, textBytes },
  }));
}
const bytesOf = (some: readonly Task[]): number => some.reduce((sum, task) => sum + taskBytes(task), 0);

describe('shares of a plan', () => {
  it('hold every task once, in the order of the plan, and differ by less than the largest task', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 1_000_000 }), { maxLength: 200 }),
        fc.integer({ min: 1, max: 20 }),
        (sizes, count) => {
          const all = tasks(sizes);
          const shares = Array.from({ length: count }, (_, index) =>
            tasksOfShare(all, { index, count }, taskBytes),
          );
          const places = shares.map((share) => share.map((task) => all.indexOf(task)));
          expect(places.flat().toSorted((a, b) => a - b)).toEqual(all.map((_, i) => i));
          for (const own of places) expect(own).toEqual(own.toSorted((a, b) => a - b));
          const dealt = shares.map(bytesOf);
          expect(Math.max(...dealt) - Math.min(...dealt)).toBeLessThanOrEqual(
            Math.max(0, ...sizes) + sizes.length,
          );
        },
      ),
    );
  });

  it('are dealt from the largest task on, whatever the order', () => {
    const shares = [0, 1, 2].map((index) =>
      tasksOfShare(tasks([1, 9, 2, 8, 3, 7]), { index, count: 3 }, taskBytes),
    );
    expect(shares.map(bytesOf)).toEqual([10, 10, 10]);
  });
});

describe('the share of an array job’s process', () => {
  const slurm = (id: number, minimum: number, maximum: number, count: number, step?: number) => ({
    SLURM_ARRAY_TASK_ID: String(id),
    SLURM_ARRAY_TASK_MIN: String(minimum),
    SLURM_ARRAY_TASK_MAX: String(maximum),
    SLURM_ARRAY_TASK_COUNT: String(count),
    ...(step !== undefined && { SLURM_ARRAY_TASK_STEP: String(step) }),
  });

  it('comes from flags, which go over the environment', () => {
    expect(arrayShare({ index: 2, count: 5 }, {})).toEqual({ index: 2, count: 5 });
    expect(arrayShare({ index: 2, count: 5 }, slurm(0, 0, 1, 2))).toEqual({ index: 2, count: 5 });
    expect(arrayShare({ count: 5 }, { JOB_COMPLETION_INDEX: '4' })).toEqual({ index: 4, count: 5 });
  });

  it.each([
    ['0-3', slurm(2, 0, 3, 4), { index: 2, count: 4 }],
    ['1-4', slurm(4, 1, 4, 4, 1), { index: 3, count: 4 }],
    ['10-40:10', slurm(30, 10, 40, 4, 10), { index: 2, count: 4 }],
    // Slurm’s MAX is the last id that there is, not the end of the range: 1, 3, 5.
    ['1-6:2', slurm(5, 1, 5, 3, 2), { index: 2, count: 3 }],
    ['7', slurm(7, 7, 7, 1), { index: 0, count: 1 }],
  ])('comes from Slurm’s --array=%s', (_, environment, share) => {
    expect(arrayShare({}, environment)).toEqual(share);
  });

  it('comes from a Kubernetes Indexed Job', () => {
    expect(arrayShare({}, { JOB_COMPLETION_INDEX: '0', JOB_COMPLETIONS: '16' })).toEqual({
      index: 0,
      count: 16,
    });
  });

  it.each([
    ['nothing', {}, {}, 'no-array'],
    ['an index alone', { index: 1 }, {}, 'no-array'],
    ['a Kubernetes index alone', {}, { JOB_COMPLETION_INDEX: '1' }, 'no-array'],
    ['an index beyond the count', { index: 3, count: 3 }, {}, 'bad-array'],
    ['half an index', { index: 0.5, count: 3 }, {}, 'bad-array'],
    ['no processes', { index: 0, count: 0 }, {}, 'bad-array'],
    ['words', {}, { SLURM_ARRAY_TASK_ID: 'two' }, 'bad-array'],
    ['an id without its range', {}, { SLURM_ARRAY_TASK_ID: '2' }, 'bad-array'],
    ['an irregular list, 1,2,9', {}, slurm(2, 1, 9, 3, 1), 'bad-array'],
    ['an id between the steps', {}, slurm(4, 1, 5, 3, 2), 'bad-array'],
  ])('is refused: %s', (_, flags, environment, code) => {
    expect(() => arrayShare(flags, environment)).toThrowError(
      expect.objectContaining({ code, reach: 'usage' }),
    );
  });
});
