/** The steps of a run: batches in, checkpoints and metrics out. */
import { join } from 'node:path';
import type { DataPosition, StepBatch } from './batch.js';
import { readCheckpoint, type StoredCheckpoint, writeCheckpoint } from './checkpoint.js';
import { damaged, STATE_FILE } from './checkpoint-state.js';
import { pruneCheckpoints } from './checkpoints.js';
import { startOf, type TrainingData } from './data/open.js';
import { divergence } from './divergence.js';
import { emptyEntry, emptyRecord, emptySteps, isEmptyStep, targetsIn } from './empty-step.js';
import { scalerEntry } from './graph/loss-scale.js';
import type { StepGraphSettings } from './graph/step-settings.js';
import { type HeldOut, heldOutLosses } from './held-out.js';
import type { MetricsWriter } from './metrics.js';
import type { TrainingModel } from './model.js';
import { ruleOf } from './objective.js';
import { stepsPerCall, type TrainOptions } from './options.js';
import { publishModel } from './publish-model.js';
import { rankBatch } from './refresh.js';
import { learningRate, stepRates } from './schedule.js';
import type { TrainingSession } from './session.js';
import type { TrainSettings } from './settings.js';
import type { StepMetrics } from './step-metrics.js';
import { profileEntry, type StepProfile } from './step-profile.js';
import { recordOf, sumsAt } from './step-record.js';
import type { EventWriter } from './tensorboard.js';

export interface LoopContext {
  readonly settings: TrainSettings;
  readonly options: TrainOptions;
  readonly model: TrainingModel;
  readonly data: TrainingData;
  readonly steps: number;
  readonly graph: StepGraphSettings;
  readonly identity: { readonly settings_hash: string; readonly data_hash: string };
  readonly found: StoredCheckpoint | null;
  readonly profile: StepProfile;
  readonly session: TrainingSession;
  readonly metrics: MetricsWriter;
  readonly events: EventWriter;
  readonly heldOut: HeldOut;
  /** Steps between two rankings; null unless the selection is refreshed. */
  readonly refreshEvery: number | null;
}

interface NextBatch {
  readonly batch: StepBatch;
  readonly position: DataPosition;
}

/** Takes every step that is left and writes a checkpoint after the last. Resolves to its metrics. */
export async function takeSteps(context: LoopContext): Promise<StepMetrics> {
  const { settings, options, steps, found, session, metrics } = context;
  const every = cadence(context);
  const start = found?.state.position ?? startOf(context.data.description);
  let step = found?.state.step ?? 0;
  let tokens = found?.state.tokens ?? 0;
  let lastGood = found?.folder ?? null;
  let empty = found === null ? 0 : emptyStepsOf(found);
  let last: StepMetrics | null = null;
  const perCall = stepsPerCall(settings, context.profile.provider);

  let group: NextBatch[] = [];
  for await (const next of batchesFrom(context, start, step)) {
    group.push(next);
    const after = step + group.length;
    if (group.length < perCall && !isBoundary(after, steps, every)) continue;

    const began = performance.now();
    // Those that keep nothing take their place in the schedule, and nothing else.
    const moving = group.map(({ batch }) => !isEmptyStep(batch, context.graph.objective));
    const [batches, rates]: [StepBatch[], number[]] = [[], []];
    let taken = step - empty;
    for (const [index, { batch }] of group.entries()) {
      if (moving[index] !== true) continue;
      batches.push(batch);
      rates.push(...stepRates(step + index + 1, steps, settings.schedule, settings.optimizer, ++taken));
    }
    const figures = batches.length === 0 ? null : await session.step(batches, Float32Array.from(rates));
    const seconds = (performance.now() - began) / 1000 / Math.max(1, batches.length);
    let moved = 0;
    for (const [index, { batch }] of group.entries()) {
      step++;
      const place = {
        step,
        learning_rate: learningRate(step, steps, settings.schedule, settings.optimizer.learning_rate),
      };
      let record: StepMetrics;
      if (figures === null || moving[index] !== true) {
        empty++;
        tokens += targetsIn(batch.eligible);
        record = emptyRecord(batch, { ...place, tokens });
      } else {
        const sums = sumsAt(figures, moved++);
        tokens += sums.eligible;
        const timed = { seconds, tokens_per_second: sums.eligible / seconds };
        const scaled = context.graph.scaling !== undefined;
        record = recordOf(sums, context.graph.divisor, { ...place, tokens, ...timed }, scaled);
      }
      if (empty > 0) record = { ...record, empty_steps: empty };
      const error = divergence(record, batch, settings.run.max_loss, lastGood);
      if (error !== null) throw error;
      const isMeasured = step === steps || (every.heldOut !== null && step % every.heldOut === 0);
      last =
        isMeasured && context.heldOut.size > 0 ? { ...record, held_out: await measure(context) } : record;
      await metrics.append(last);
      await context.events.write(last);
      options.sink({ event: 'step', ...last });
    }
    const position = group.at(-1)?.position ?? start;
    group = [];
    const stops = options.signal.aborted && step % (context.refreshEvery ?? 1) === 0;
    if (step === steps || step % every.checkpoint === 0 || stops) {
      lastGood = await keep(context, { step, tokens, position, empty });
    }
    if (step === steps) break;
    if (options.signal.aborted && !stops) {
      const kept = lastGood === null ? 'the start' : lastGood;
      options.sink({
        event: 'warning',
        message: `stopped between two rankings of refreshed selection: the run goes on from ${kept}, the steps since are taken again`,
      });
    }
    options.signal.throwIfAborted();
  }
  if (last === null) throw new Error('the loop ended without a step');
  return last;
}

interface Cadence {
  readonly checkpoint: number;
  readonly heldOut: number | null;
  readonly refresh: number | null;
}

function cadence({ settings, steps, refreshEvery }: LoopContext): Cadence {
  const wanted = settings.run.checkpoint_every ?? Math.ceil(steps / 10);
  // Weights ranked ahead follow from the model of then: a resumed run can only begin where a ranking does.
  const unit = refreshEvery ?? 1;
  return {
    checkpoint: Math.ceil(wanted / unit) * unit,
    heldOut: settings.held_out.every ?? null,
    refresh: refreshEvery,
  };
}

/** Whether something is to be done after this step that calls must not run past. */
const isBoundary = (step: number, steps: number, every: Cadence): boolean =>
  step === steps ||
  step % every.checkpoint === 0 ||
  (every.heldOut !== null && step % every.heldOut === 0) ||
  (every.refresh !== null && step % every.refresh === 0);

/** Batches in training order; with refreshed selection, ranked in groups just before they are trained on. */
async function* batchesFrom(
  context: LoopContext,
  start: DataPosition,
  step: number,
): AsyncGenerator<NextBatch> {
  const { data, steps, session, graph, settings, refreshEvery } = context;
  if (refreshEvery === null) {
    yield* data.steps(start);
    return;
  }
  const rule = ruleOf(settings.loss);
  let group: NextBatch[] = [];
  let at = step;
  for await (const next of data.steps(start)) {
    group.push(next);
    at++;
    if (at % refreshEvery !== 0 && at !== steps) continue;
    for (const { batch, position } of await ranked(group)) yield { batch, position };
    group = [];
  }
  async function ranked(batches: readonly NextBatch[]): Promise<NextBatch[]> {
    const made: NextBatch[] = [];
    for (const { batch, position } of batches) {
      const weighted = await rankBatch(batch, graph, settings.loss.scope, rule, session.losses);
      made.push({ batch: weighted, position });
    }
    return made;
  }
}

const measure = ({ heldOut, graph, session }: LoopContext): Promise<Record<string, number>> =>
  heldOutLosses(heldOut, graph.length, session.losses);

/** Writes the checkpoint, publishes its weights, removes old ones. */
/** Where a run stands when a checkpoint is written. */
interface KeptProgress {
  readonly step: number;
  readonly tokens: number;
  readonly position: DataPosition;
  /** Steps so far that kept no token. */
  readonly empty: number;
}

/** Of the steps that a checkpoint stands after. @throws fatal `bad-checkpoint` */
function emptyStepsOf({ folder, state }: StoredCheckpoint): number {
  const found = emptySteps(state);
  if (found !== undefined) return found;
  throw damaged(join(folder, STATE_FILE), 'has a field extra.empty_steps that is no count of its steps');
}

async function keep(context: LoopContext, { empty, ...progress }: KeptProgress): Promise<string> {
  const { settings, options, model, identity, profile, session, metrics } = context;
  const { config, tokenizerFiles, parameters } = model;
  const state = await session.state();
  await model.look();
  const folder = await writeCheckpoint(settings.out, {
    config,
    tokenizerFiles,
    parameters,
    state,
    progress: {
      ...progress,
      ...identity,
      metrics_bytes: await metrics.flush(),
      extra: { ...profileEntry(profile), ...scalerEntry(state.scaler), ...emptyEntry(empty) },
    },
  });
  await publishModel(settings.out, await readCheckpoint(folder));
  await pruneCheckpoints(settings.out, settings.run.keep_checkpoints);
  options.sink({ event: 'checkpoint', step: progress.step, folder });
  return folder;
}
