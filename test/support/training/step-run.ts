/** The training-step graph alone, run on the goldens' data: no data loader, no trainer around it. */
import { openCheckpoint } from '#tokensieve/model/checkpoint.js';
import { buildStepGraph, RATES, STATE_NAMES, STEP_METRICS } from '#tokensieve/train/graph/step.js';
import type { Objective } from '#tokensieve/train/graph/step-settings.js';
import { parametersOf } from '#tokensieve/train/graph/trainable-weights.js';
import { emptyVectors } from '#tokensieve/train/initial-weights.js';
import { loadWeights } from '#tokensieve/train/load-weights.js';
import type { Parameter, ParameterVectors } from '#tokensieve/train/parameters.js';
import { stepRates } from '#tokensieve/train/schedule.js';
import type { Feed } from '../run-graph.js';
import { runGraph } from '../run-graph.js';
import { type Batches, KEEP_PPM, type ObjectiveName, OPTIMIZER, SCHEDULE, within } from './golden.js';

export interface StepRun {
  readonly parameters: readonly Parameter[];
  readonly weights: ParameterVectors;
  readonly firstMoment: ParameterVectors;
  /** One a step, by the names of `STEP_METRICS`. */
  readonly metrics: readonly Readonly<Record<(typeof STEP_METRICS)[number], number>>[];
}

export interface StepRunSettings {
  readonly objective: ObjectiveName;
  readonly clip: number;
  /** Steps taken, in one call: the first of the batches. */
  readonly steps: number;
  readonly form?: 'fused' | 'plain';
  readonly threads?: number;
}

function objectiveOf(name: ObjectiveName): Objective {
  if (name.startsWith('live-')) {
    const scope = name.slice('live-'.length) as 'sequence' | 'microbatch' | 'step';
    return { kind: 'live', scope, rule: { keepPpm: KEEP_PPM, rounding: 'floor' } };
  }
  return { kind: name.startsWith('frozen') ? 'frozen' : 'clm' };
}

/** Trains the checkpoint in `folder` from its weights and empty moments. */
export async function runSteps(
  folder: string,
  batches: Batches,
  { objective: name, clip, steps, form = 'fused', threads = 1 }: StepRunSettings,
): Promise<StepRun> {
  const checkpoint = await openCheckpoint(folder);
  const has = (tensor: string): boolean => checkpoint.tensors.has(tensor);
  const parameters = parametersOf(checkpoint.decoder, has);
  const [all, accumulate, rows, length] = batches.shape;
  const apart = name === 'clm-within';
  const graph = buildStepGraph(checkpoint.decoder, parameters, has, {
    steps,
    accumulate,
    rows,
    length,
    attention: apart ? 'within' : 'across',
    objective: objectiveOf(name),
    divisor: name === 'frozen-eligible' ? 'eligible' : 'weight',
    adamw: OPTIMIZER,
    clip,
    form,
  });

  const loaded = await loadWeights(checkpoint, parameters);
  const empty = emptyVectors(parameters);
  const state = STATE_NAMES.map((entry): [string, Feed] => {
    const group = entry.startsWith('decayed') ? 'decayed' : 'undecayed';
    const data = Float32Array.from(empty[group]);
    if (entry.endsWith('weights')) data.set(loaded[group]);
    return [entry, { data, dims: [data.length] }];
  });
  const dims = [steps, accumulate, rows, length];
  const count = dims.reduce((a, b) => a * b, 1);
  const column = (data: Float32Array | Int32Array): Feed => ({ data: data.slice(0, count), dims });
  const data = apart ? within(batches) : { ...batches, positions: null };
  const rates = Array.from({ length: steps }, (_, i) => stepRates(i + 1, all, SCHEDULE, withClip(clip)));
  const found = await runGraph(
    graph,
    {
      ...Object.fromEntries(state),
      rates: { data: Float32Array.from(rates.flat()), dims: [steps, RATES.length] },
      ids: column(data.ids),
      eligible: column(data.eligible),
      ...(name.startsWith('frozen') ? { weight: column(data.weight) } : {}),
      ...(name.startsWith('live') ? { reference_loss: column(data.referenceLoss) } : {}),
      ...(data.positions === null
        ? {}
        : { positions: column(data.positions), documents: column(data.documents) }),
    },
    threads,
  );
  const vectors = (entry: string): ParameterVectors => ({
    decayed: found[`new_decayed_${entry}`]!.data,
    undecayed: found[`new_undecayed_${entry}`]!.data,
  });
  const metrics = found['metrics']!.data;
  return {
    parameters,
    weights: vectors('weights'),
    firstMoment: vectors('first_moment'),
    metrics: Array.from(
      { length: steps },
      (_, step) =>
        Object.fromEntries(
          STEP_METRICS.map((key, i) => [key, metrics[step * STEP_METRICS.length + i]]),
        ) as StepRun['metrics'][number],
    ),
  };
}

const withClip = (clip: number) => ({ ...OPTIMIZER, clip });
