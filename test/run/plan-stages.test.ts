import { expect, it } from 'vitest';
import { parseStages } from '#tokensieve/pipeline/stages.js';
import { planStages, type StageFacts } from '#tokensieve/plan/plan-stages.js';

const nothing: StageFacts = { parameters: () => null, shardTokens: () => null, rows: () => null };
const facts = (some: Partial<StageFacts>): StageFacts => ({ ...nothing, ...some });
const plan = (stages: unknown[], some: Partial<StageFacts>) =>
  planStages(parseStages({ stages }, 'test').stages, facts(some));

const data = { sources: ['corpus'] };
const rows = (tokens: number, length = 101) => ({ tokens, length });

it('reckons training at 6 N a token, scoring at 2 N for each model', () => {
  const costs = plan(
    [
      { train: { out: 'a', model: { start: 'm' }, data, batch: { rows: 4, accumulate: 5, steps: 3 } } },
      { score: { shards: ['s'], reference: 'm', current: 'n', out: 'o' } },
    ],
    {
      parameters: (path) => ({ m: 10, n: 1000 })[path] ?? null,
      rows: (path) => (path === 'corpus' ? rows(5000) : null),
      shardTokens: () => 700,
    },
  );
  expect(costs).toEqual([
    { name: 'train', kind: 'train', tokens: 3 * 4 * 5 * 100, flops: 6 * 10 * 6000, unknown: [] },
    { name: 'score', kind: 'score', tokens: 700, flops: 2 * 1010 * 700, unknown: [] },
  ]);
});

it('adds a forward pass where tokens are ranked before the step', () => {
  const factor = (loss: object, accumulate = 1): number => {
    const batch = { rows: 1, accumulate, steps: 1 };
    const [cost] = plan([{ train: { out: 'a', model: { start: 'm' }, data, batch, loss } }], {
      parameters: () => 1,
      rows: () => rows(5000),
    });
    return (cost?.flops ?? 0) / (cost?.tokens ?? 0);
  };
  expect(factor({ kind: 'clm' }, 4)).toBe(6);
  expect(factor({ kind: 'slm' })).toBe(6);
  expect(factor({ kind: 'slm' }, 4)).toBe(8);
  expect(factor({ kind: 'slm', scope: 'microbatch' }, 4)).toBe(6);
  expect(factor({ kind: 'slm', selection: 'frozen' }, 4)).toBe(6);
  expect(factor({ kind: 'slm', selection: 'refresh' })).toBe(8);
});

it('knows what earlier stages leave: models, token files and their rows', () => {
  const costs = plan(
    [
      { score: { shards: ['s'], reference: 'm', out: './o', sequence: { length: 11 } } },
      { select: { run: 'o' } },
      {
        name: 'one',
        train: { out: 'a/', model: { start: 'm' }, data: { sources: ['o/weighted'] }, batch: { epochs: 2 } },
      },
      {
        name: 'two',
        train: {
          out: 'b',
          model: { start: 'a/model' },
          data: { sources: ['o/scored'] },
          batch: { rows: 3, tokens: 50 },
        },
      },
    ],
    { parameters: (path) => (path === 'm' ? 7 : null), shardTokens: () => 1000 },
  );
  expect(costs.map(({ tokens, flops }) => [tokens, flops])).toEqual([
    [1000, 2 * 7 * 1000],
    [1000, 0],
    [2000, 6 * 7 * 2000],
    // Whole steps of 3 rows of 10 targets.
    [60, 6 * 7 * 60],
  ]);
});

it('passes over a mixture until the source that ends last', () => {
  const sources = [
    { path: 'big', ratio: 3 },
    { path: 'small', ratio: 1 },
  ];
  const [cost] = plan(
    [{ train: { out: 'a', model: { start: 'm' }, data: { sources }, batch: { epochs: 1 } } }],
    {
      parameters: () => 1,
      rows: (path) => rows(path === 'big' ? 300 : 200),
    },
  );
  expect(cost?.tokens).toBe(800);
});

it('says what is missing instead of a figure', () => {
  const costs = plan(
    [
      { score: { shards: ['s/*.parquet'], reference: 'm', out: 'o' } },
      { train: { out: 'a', model: { start: 'n' }, data: { sources: ['o/scored'] }, batch: { epochs: 1 } } },
    ],
    { parameters: (path) => (path === 'm' ? 5 : null) },
  );
  expect(costs).toMatchObject([
    { tokens: null, flops: null, unknown: ['tokens of s/*.parquet'] },
    { tokens: null, flops: null, unknown: ['tokens of o/scored', 'parameters of n'] },
  ]);
});
