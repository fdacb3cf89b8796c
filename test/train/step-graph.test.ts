import { afterEach, describe, expect, it } from 'vitest';
import type { StepBatch } from '#tokensieve/train/batch.js';
import { STEP_METRICS } from '#tokensieve/train/graph/step.js';
import type { Objective, StepGraphSettings } from '#tokensieve/train/graph/step-settings.js';
import type { TrainerState } from '#tokensieve/train/parameters.js';
import { rankTokens } from '#tokensieve/train/rank.js';
import { type OpenedTraining, openTiny, randomStep, ratesAt, type Shape } from '../support/training.js';

const clm: Objective = { kind: 'clm' };
const live = (scope: 'sequence' | 'microbatch' | 'step', keepPpm = 600_000): Objective => ({
  kind: 'live',
  scope,
  rule: { keepPpm, rounding: 'floor' },
});
const column = (metrics: Float64Array, name: (typeof STEP_METRICS)[number]): number =>
  metrics[STEP_METRICS.indexOf(name)] ?? Number.NaN;

const opened: OpenedTraining[] = [];
afterEach(async () => {
  for (const { session } of opened.splice(0)) await session.close();
});
async function open(
  objective: Objective,
  shape: Shape,
  more: Partial<StepGraphSettings> & { threads?: number } = {},
): Promise<OpenedTraining> {
  const made = await openTiny(objective, shape, more);
  opened.push(made);
  return made;
}

async function trained(
  objective: Objective,
  shape: Shape,
  batches: readonly StepBatch[],
  more: Partial<StepGraphSettings> & { threads?: number } = {},
): Promise<{ state: TrainerState; metrics: Float64Array[] }> {
  const { session } = await open(objective, shape, more);
  const metrics: Float64Array[] = [];
  for (const [index, batch] of batches.entries()) {
    metrics.push(await session.step([batch], Float32Array.from(ratesAt(index + 1))));
  }
  return { state: await session.state(), metrics };
}

const bytes = ({ weights, firstMoment, secondMoment }: TrainerState): Buffer =>
  Buffer.concat(
    [weights, firstMoment, secondMoment].flatMap(({ decayed, undecayed }) => [
      Buffer.from(decayed.buffer),
      Buffer.from(undecayed.buffer),
    ]),
  );

describe.each([1, 3])('%i micro-batches a step', (accumulate) => {
  const shape = { rows: 2, accumulate, length: 24 };
  const batches = [1, 2, 3, 4].map((seed) => randomStep(shape, seed, () => 1));

  it.each(['sequence', 'microbatch', 'step'] as const)(
    'live selection that keeps everything is CLM bit for bit, scope %s',
    async (scope) => {
      const { state } = await trained(clm, shape, batches);
      const kept = await trained(live(scope, 1_000_000), shape, batches);
      expect(bytes(kept.state).equals(bytes(state))).toBe(true);
    },
  );

  it('frozen weights of one are CLM bit for bit', async () => {
    const { state } = await trained(clm, shape, batches);
    const frozen = await trained({ kind: 'frozen' }, shape, batches);
    expect(bytes(frozen.state).equals(bytes(state))).toBe(true);
  });

  it('several steps a call are the same steps one by one', async () => {
    const { state, metrics } = await trained(live('step'), shape, batches);
    const { session } = await open(live('step'), shape, { severalSteps: true });
    const rates = (from: number, count: number) =>
      Float32Array.from(Array.from({ length: count }, (_, i) => ratesAt(from + i)).flat());
    const first = await session.step(batches.slice(0, 3), rates(1, 3));
    const last = await session.step(batches.slice(3), rates(4, 1));
    expect([...first, ...last]).toEqual(metrics.flatMap((row) => [...row]));
    expect(bytes(await session.state()).equals(bytes(state))).toBe(true);
  });

  it.each(['sequence', 'microbatch', 'step'] as const)(
    'ranks in the graph as on the host, scope %s',
    async (scope) => {
      const [batch = randomStep(shape, 9)] = batches;
      const rule = { keepPpm: 600_000, rounding: 'floor' } as const;
      const { session } = await open(live(scope), shape);
      const losses: number[] = [];
      for (let micro = 0; micro < accumulate; micro++) {
        losses.push(...(await session.losses(batch, micro * shape.rows)));
      }
      const scores = new Float32Array(batch.ids.length);
      const all = new Float32Array(batch.ids.length);
      losses.forEach((loss, index) => {
        const at = Math.floor(index / (shape.length - 1)) * shape.length + (index % (shape.length - 1)) + 1;
        all[at] = loss;
        scores[at] = loss - (batch.referenceLoss?.[at] ?? 0);
      });
      const groupRows = { sequence: 1, microbatch: shape.rows, step: shape.rows * accumulate }[scope];
      const weights = rankTokens(scores, batch.eligible, groupRows * shape.length, rule);
      const metrics = await session.step([batch], Float32Array.from(ratesAt(1)));

      const sum = (value: (at: number) => number) => weights.reduce((total, _, at) => total + value(at), 0);
      expect(column(metrics, 'eligible')).toBe(sum((at) => batch.eligible[at] ?? 0));
      expect(column(metrics, 'kept')).toBe(sum((at) => weights[at] ?? 0));
      expect(column(metrics, 'weighted_loss')).toBeCloseTo(
        sum((at) => (weights[at] ?? 0) * (all[at] ?? 0)),
        3,
      );
      expect(column(metrics, 'unselected_loss')).toBeCloseTo(
        sum((at) => ((batch.eligible[at] ?? 0) - (weights[at] ?? 0)) * (all[at] ?? 0)),
        3,
      );
    },
  );

  it('a step without any target leaves a finite model', async () => {
    const [batch = randomStep(shape, 9)] = batches;
    const empty = { ...batch, eligible: batch.eligible.map(() => 0) };
    const { state, metrics } = await trained(live('step'), shape, [empty]);
    expect(metrics.map((row) => [column(row, 'kept'), column(row, 'gradient_norm')])).toEqual([[0, 0]]);
    expect(state.weights.decayed.every(Number.isFinite)).toBe(true);
  });
});

it('micro-batches add up to the batch that they are cut from', async () => {
  const whole = { rows: 6, accumulate: 1, length: 24 };
  const cut = { rows: 2, accumulate: 3, length: 24 };
  const batches = [1, 2, 3].map((seed) => randomStep(whole, seed));
  const a = await trained({ kind: 'frozen' }, whole, batches);
  const b = await trained({ kind: 'frozen' }, cut, batches);
  const norms = ({ metrics }: typeof a) => metrics.map((row) => column(row, 'gradient_norm'));
  norms(a).forEach((norm, index) => {
    expect(Math.abs(norm - (norms(b)[index] ?? 0)) / norm).toBeLessThan(1e-5);
  });
});

it('two threads give the bits of one', async () => {
  const shape = { rows: 4, accumulate: 2, length: 64 };
  const batches = [1, 2, 3].map((seed) => randomStep(shape, seed));
  const one = await trained(live('step'), shape, batches);
  const two = await trained(live('step'), shape, batches, { threads: 2 });
  expect(bytes(two.state).equals(bytes(one.state))).toBe(true);
});
