import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Counts, mergeCounts } from '#tokensieve/select/counts.js';
import { packPlain, unpackPlain } from '#tokensieve/select/plain-data.js';
import {
  addsTo,
  firstStep,
  mergeReadings,
  type Prepared,
  type Reading,
  readPart,
  readsIn,
  stepAfter,
} from '#tokensieve/select/preparation.js';
import { createSelection, type Selection } from '#tokensieve/select/selection.js';
import { type SelectionInput, selectionSettings } from '#tokensieve/select/settings.js';
import { toSource, type VectorPart } from './support.js';

/** Losses on a coarse grid, so that ties are split between parts, and fine ones. */
const loss = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 4 }).map((n) => n / 2) },
  { weight: 2, arbitrary: fc.float({ min: 0, max: 12, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1e-30, -1e-7) },
);
const row = fc
  .array(fc.option(fc.tuple(loss, loss), { freq: 5, nil: null }), { maxLength: 10 })
  .map((tokens) => {
    const [reference_loss, current_loss] = [0, 1].map((c) => tokens.map((pair) => pair?.[c] ?? null));
    return { reference_loss, current_loss, reference_entropy: current_loss };
  });
const dataset = fc
  .array(fc.array(fc.array(row, { maxLength: 6 }), { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 3,
  })
  .map((shards) =>
    shards.flatMap((parts, s) =>
      parts.map(
        (rows, part): VectorPart => ({ shard: `shard-${s}`, part, rows, domains: { 0: 'web', 1: 'book' } }),
      ),
    ),
  );
const settings: fc.Arbitrary<SelectionInput> = fc.constantFrom<SelectionInput>(
  { method: 'slm', scope: 'dataset', keep: 0.5 },
  { method: 'slm', scope: 'shard', keep: 0.3 },
  { method: 'band', scope: 'dataset', band: [0.2, 0.7] },
  { method: 'reference-union', scope: 'dataset', keep: 0.4 },
  { method: 'sampled', scope: 'shard', seed: 3 },
  { method: 'rho-loss', scope: 'dataset', unit: 'sequence' },
  { method: 'domain-weights' },
  { method: 'slm', scope: 'window:20' },
);

const create = (input: SelectionInput): Selection =>
  createSelection(selectionSettings.parse({ ...input, allow_constant: true }));

/** As it goes through a file between two machines. */
const throughFile = <T>(value: T): T => unpackPlain(packPlain(value), 'file') as T;

/** Adds readings up two at a time, in the order and grouping that the numbers ask for. */
function gather(readings: Reading[], choices: readonly number[]): Reading {
  let turn = 0;
  const draw = (below: number): number => (choices[turn++ % choices.length] ?? 0) % below;
  const left = [...readings];
  while (left.length > 1) {
    const [a] = left.splice(draw(left.length), 1);
    const [b] = left.splice(draw(left.length), 1);
    left.push(throughFile(mergeReadings(a!, b!)));
  }
  return left[0] ?? { counts: new Map(), observed: new Map() };
}

/** Every step by processes that share nothing but files: each part read by itself, in any order. */
async function prepareApart(
  input: SelectionInput,
  parts: readonly VectorPart[],
  choices: readonly number[],
  all: boolean,
): Promise<{ prepared: Prepared; steps: number }> {
  const names = parts.map(({ shard, part }) => ({ shard, part }));
  let steps = 0;
  let step = firstStep(create(input), names);
  while (step.kind === 'step') {
    steps++;
    const readings: Reading[] = [];
    let total: Reading = { counts: new Map(), observed: new Map() };
    const pending = names.filter((name) => step.kind === 'step' && readsIn(create(input), step, name));
    for (const name of pending) {
      const own = parts[names.indexOf(name)]!;
      if (!all && !addsTo(create(input), pending, step, total, name)) continue;
      // Another process: a selection, a source and a step of its own.
      const reading = throughFile(
        await readPart(create(input), toSource(own, 1 + (choices[0] ?? 0)), throughFile(step)),
      );
      total = mergeReadings(total, reading);
      readings.push(reading);
    }
    step = throughFile(stepAfter(create(input), names, step, gather(readings, choices)));
  }
  return { prepared: step.prepared, steps };
}

describe('a preparation in pieces', () => {
  it('comes to what one process comes to, whatever the order, the grouping and the files between', async () => {
    const choices = fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(settings, dataset, choices, fc.boolean(), async (input, parts, order, all) => {
        const whole = await create(input).prepare(parts.map((part) => toSource(part, 3)));
        const { prepared, steps } = await prepareApart(input, parts, order, all);
        expect(prepared).toEqual(whole);
        expect(steps).toBeLessThanOrEqual(3);
      }),
      { numRuns: 40 },
    );
  });

  it('has no step where the scope lies within a part', () => {
    const parts = [{ shard: 'a', part: 0 }];
    expect(firstStep(create({ scope: 'window:64' }), parts)).toEqual({
      kind: 'done',
      prepared: { cuts: null, fitted: undefined },
    });
  });

  it('refuses counts of two steps, and of parts that were left out', () => {
    const bins = [new Uint32Array(65_536)];
    const coarse: Counts = { kind: 'coarse', eligible: 1, bins };
    expect(() => mergeCounts(coarse, { kind: 'fine', bins })).toThrow(/coarse and fine cannot be added/);
    expect(() => mergeCounts(coarse, { ...coarse, bins: [] })).toThrow(/1 and 0 rankings cannot be added/);
    const selection = create({ scope: 'shard' });
    const parts = [
      { shard: 'a', part: 0 },
      { shard: 'b', part: 0 },
    ];
    const step = firstStep(selection, parts);
    if (step.kind !== 'step') throw new Error('no step');
    const total: Reading = { counts: new Map([['a', coarse]]), observed: new Map() };
    expect(() => stepAfter(selection, parts, step, total)).toThrow(/nothing was counted of b/);
  });
});

describe('files between steps', () => {
  it('are small, and tell of damage', () => {
    const bins = new Uint32Array(65_536);
    for (let i = 0; i < 3000; i++) bins[48_000 + i] = i * 7;
    const bytes = packPlain({ kind: 'coarse', eligible: 1, bins: [bins] });
    expect(bytes.length).toBeLessThan(20_000);
    const flipped = bytes.slice();
    flipped[bytes.length >> 1]! ^= 1;
    for (const damaged of [flipped, bytes.subarray(0, bytes.length - 9), new Uint8Array(0)]) {
      expect(() => unpackPlain(damaged, 'a/b')).toThrow(
        /^a\/b: is not what a run put down.*run the command again/,
      );
    }
  });
});
