/**
 * A training run from settings to checkpoints. Running it again after any interruption goes on from the newest
 * checkpoint, to the very weights that an uninterrupted run ends with.
 */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readCards } from '../device/card.js';
import { chooseDevice } from '../device/device.js';
import { usageError } from '../errors.js';
import { hashJson } from '../json/canonical-json.js';
import type { Device } from '../model/prepared-model.js';
import { emulated } from '../onnx/emulate.js';
import type { Graph } from '../onnx/graph.js';
import { encodeModel, toModelProto } from '../onnx/proto.js';
import { tellOf } from '../parts/tell-of.js';
import { claimFolder } from '../storage/folder-claim.js';
import { localPath } from '../storage/path.js';
import type { DataDescription } from './batch.js';
import { loadTrainerState, type StoredCheckpoint } from './checkpoint.js';
import { latestCheckpoint, pruneCheckpoints, sweepCheckpoints } from './checkpoints.js';
import { openTrainingData, type TrainingData } from './data/open.js';
import { stepsOf } from './data/steps.js';
import { SCALER } from './graph/loss-scale.js';
import { buildLossGraph } from './graph/losses.js';
import { buildStepGraph } from './graph/step.js';
import { dataInputs, floatTypes, SCALING, type StepGraphSettings } from './graph/step-settings.js';
import { openHeldOut } from './held-out.js';
import { keptTokenWarnings } from './kept-tokens.js';
import { takeSteps } from './loop.js';
import { checkMemory, hostMemory } from './memory.js';
import { openMetrics } from './metrics.js';
import { openTrainingModel, type TrainingModel } from './model.js';
import { objectiveOf } from './objective.js';
import { stepsPerCall, type TrainOptions } from './options.js';
import { emptyVectors, type TrainerState } from './parameters.js';
import { publishModel } from './publish-model.js';
import { stepsPerRefresh } from './refresh.js';
import { checkSame, isOther, type RunIdentity, refuseOwnInputs, refuseRemains, removeRun } from './resume.js';
import { METRICS_FILE, TENSORBOARD_FOLDER } from './run-files.js';
import { openTrainingSession } from './session.js';
import type { TrainSettings } from './settings.js';
import type { StepMetrics } from './step-metrics.js';
import { profileChange, type StepProfile, stepProfile } from './step-profile.js';
import { openEvents } from './tensorboard.js';

/** Raised by hand when a step would make other weights from the same inputs. */
export const TRAINING_SEMANTICS = 1;

export interface TrainReport {
  /** Hugging Face folder with the weights of the last step. */
  readonly model: string;
  readonly parameters: number;
  readonly steps: number;
  /** Steps found done. */
  readonly resumed: number;
  /** Null when nothing was left to do. */
  readonly last: StepMetrics | null;
  readonly seconds: number;
}

/**
 * Trains a model. OUT/checkpoints holds the newest checkpoints, OUT/model the weights of the last, OUT/metrics.jsonl a
 * line a step, OUT/tensorboard the same for TensorBoard.
 * @throws TokensieveError usage errors of settings and data (`tokenizers-differ`, `sequence-too-long`, `no-weights`,
 *   `no-reference-loss`, `nothing-kept`, `model-too-large`, `other-settings`, `no-checkpoint`, `folder-busy`); fatal `diverged`, and errors of models and disk
 */
export async function trainRun(settings: TrainSettings, options: TrainOptions): Promise<TrainReport> {
  const began = performance.now();
  const { sink, storage } = options;
  const out = localPath(settings.out, 'out');
  const model = await openTrainingModel(settings.model);
  for (const message of model.warnings) sink({ event: 'warning', message });
  const data = await openTrainingData(storage, settings.data, settings.batch);
  checkFit(settings, model, data.description);
  for (const source of data.sources) await tellOf(storage, source, sink);
  const { device, why } = chooseDevice(settings.run.device);
  sink({ event: 'note', message: why });
  const parameters = model.parameters.reduce((sum, { length }) => sum + length, 0);
  const { precision } = settings.compute;
  const memory = device === 'cpu' ? hostMemory() : readCards()[0]?.memoryBytes;
  if (memory !== undefined) checkMemory(parameters, memory, precision);
  if (device === 'cpu' && precision !== 'fp32') {
    sink({
      event: 'note',
      message: `the CPU has no ${precision}: every value is rounded to it, and computed with in fp32, slower than --precision fp32`,
    });
  }
  const profile = stepProfile(device, settings.run.threads, precision);

  const steps = stepsOf(settings.batch, data.description);
  const graph = graphSettings(settings, data.description, device);
  for (const message of keptTokenWarnings(settings.loss, graph.objective, data.description, steps))
    sink({ event: 'warning', message });
  const identity = {
    settings_hash: hashJson(recipeOf(settings, model, steps)),
    data_hash: data.description.hash,
  };
  await mkdir(out, { recursive: true });
  const claim = await claimFolder(out, randomUUID());
  try {
    await sweepCheckpoints(out);
    const stored = await latestCheckpoint(out, (error) => sink({ event: 'warning', message: error.message }));
    const replaces = options.replace === true && (await isOther(out, stored, identity));
    if (replaces) refuseOwnInputs(out, inputsOf(settings));
    const found = replaces ? null : stored;
    if (found !== null) checkSame(out, found, identity);
    else if (!replaces) await refuseRemains(out);
    const done = found?.state.step ?? 0;
    const moved = found !== null && done < steps ? profileChange(found.state, profile) : null;
    if (moved !== null) sink({ event: 'warning', message: moved });
    sink({
      event: 'train-planned',
      parameters,
      steps,
      done,
      tokens_per_step: settings.batch.rows * settings.batch.accumulate * (data.description.length - 1),
    });
    const last =
      done < steps
        ? await train(settings, options, { model, data, steps, graph, identity, found, replaces, profile })
        : null;
    const newest = await latestCheckpoint(out);
    if (newest === null)
      throw usageError('no-steps', `${out}: no step was to be taken; ask for one at least`);
    // A run that was killed after its last checkpoint has this left to do.
    await pruneCheckpoints(out, settings.run.keep_checkpoints);
    // What draws it is as much to load as all else.
    const { writeTrainingReport } = await import('./report/training-report.js');
    await writeTrainingReport(out, settings);
    return {
      model: await publishModel(out, newest),
      parameters,
      steps,
      resumed: done,
      last,
      seconds: (performance.now() - began) / 1000,
    };
  } finally {
    await claim.release();
  }
}

interface Opened {
  readonly model: TrainingModel;
  readonly data: TrainingData;
  readonly steps: number;
  readonly graph: StepGraphSettings;
  readonly identity: RunIdentity;
  readonly found: StoredCheckpoint | null;
  /** Whether a run that is there is to be removed. */
  readonly replaces: boolean;
  readonly profile: StepProfile;
}

/** The paths that a run reads. */
const inputsOf = ({ model, data, held_out }: TrainSettings): readonly (string | undefined)[] => [
  ...Object.values(model).filter((value) => typeof value === 'string'),
  ...data.sources.map(({ path }) => path),
  ...Object.values(held_out.sources),
];

async function train(settings: TrainSettings, options: TrainOptions, opened: Opened): Promise<StepMetrics> {
  const { out } = settings;
  const { model, graph, found, replaces, profile } = opened;
  const { decoder, parameters } = model;
  const heldOut = await openHeldOut(options.storage, settings, opened.data.description, options.sink);
  const refresh = settings.loss.kind === 'slm' && settings.loss.selection === 'refresh';
  const emulates = profile.provider === 'cpu' && profile.precision !== 'fp32';
  const bytes = (built: Graph): Uint8Array => encodeModel(toModelProto(emulates ? emulated(built) : built));
  const session = await openTrainingSession({
    step: bytes(buildStepGraph(decoder, parameters, graph)),
    losses: heldOut.size > 0 || refresh ? bytes(buildLossGraph(decoder, parameters, graph)) : null,
    state:
      found === null
        ? await firstState(model, settings)
        : await loadTrainerState(found, parameters, decoder.names),
    device: profile.provider,
    threads: profile.threads,
    shape: graph,
    inputs: dataInputs(graph),
  });
  // What is open is closed, whatever comes next: a thread that is left open keeps the process for ever.
  const open: { close(): Promise<void> }[] = [session];
  try {
    if (replaces) {
      // Not before: what could not begin would leave nothing of either.
      await removeRun(out);
      options.sink({ event: 'note', message: `${out}: the run that was here is removed (--replace)` });
    }
    const metrics = await openMetrics(join(out, METRICS_FILE), found?.state.metrics_bytes ?? 0);
    open.push(metrics);
    const events = await openEvents(join(out, TENSORBOARD_FOLDER), (found?.state.step ?? 0) + 1);
    open.push(events);
    return await takeSteps({
      ...opened,
      settings,
      options,
      session,
      metrics,
      events,
      heldOut,
      refreshEvery: refresh ? stepsPerRefresh(settings.loss.refresh_tokens, graph) : null,
    });
  } finally {
    await Promise.allSettled(open.map((one) => one.close()));
  }
}

async function firstState(
  { parameters, initialWeights }: TrainingModel,
  { compute }: TrainSettings,
): Promise<TrainerState> {
  return {
    weights: await initialWeights(),
    firstMoment: emptyVectors(parameters),
    secondMoment: emptyVectors(parameters),
    ...(compute.precision === 'fp16' && {
      scaler: Float64Array.from(SCALER, (name) => (name === 'loss_scale' ? compute.loss_scale : 0)),
    }),
  };
}

function graphSettings(settings: TrainSettings, data: DataDescription, device: Device): StepGraphSettings {
  const { rows, accumulate } = settings.batch;
  const { beta1, beta2, clip } = settings.optimizer;
  const objective = objectiveOf(settings.loss, data);
  return {
    rows,
    length: data.length,
    accumulate,
    severalSteps: stepsPerCall(settings, device) > 1,
    attention: data.attention,
    objective,
    divisor: objective.kind === 'frozen' && data.normaliser === 'eligible-tokens' ? 'eligible' : 'weight',
    adamw: { beta1, beta2 },
    clip,
    ...computed(settings, device),
  };
}

/** How the graph computes: the same nodes on every device in 16 bits, so that what the CPU checks is what a card runs. */
function computed(
  { compute: { precision }, optimizer: { epsilon } }: TrainSettings,
  device: Device,
): Pick<StepGraphSettings, 'form' | 'float' | 'scaling'> {
  if (precision === 'fp32') return { form: device === 'cpu' ? 'fused' : 'plain' };
  return {
    form: 'grouped',
    float: floatTypes[precision],
    ...(precision === 'fp16' && { scaling: { ...SCALING, epsilon } }),
  };
}

/** Everything that the weights of the last step follow from, but the data's own bytes. */
function recipeOf(settings: TrainSettings, model: TrainingModel, steps: number): object {
  const { sources, seed, shuffle_tokens } = settings.data;
  const { rows, accumulate } = settings.batch;
  return {
    semantics: TRAINING_SEMANTICS,
    model: model.origin,
    data: { ratios: sources.map(({ ratio }) => ratio), seed, shuffle_tokens },
    loss: settings.loss.kind === 'clm' ? { kind: 'clm' } : settings.loss,
    batch: { rows, accumulate, steps },
    ...(settings.compute.precision !== 'fp32' && { precision: settings.compute.precision }),
    ...(settings.compute.precision === 'fp16' && { loss_scale: settings.compute.loss_scale }),
    optimizer: settings.optimizer,
    schedule: settings.schedule,
  };
}

function checkFit(settings: TrainSettings, model: TrainingModel, data: DataDescription): void {
  const name = settings.model.start ?? settings.model.config ?? '';
  const [hash = ''] = model.tokenizerHashes;
  if (!model.tokenizerHashes.includes(data.tokenizerHash)) {
    throw usageError(
      'tokenizers-differ',
      `${data.sources[0]?.path}: was tokenized with another tokenizer (${data.tokenizerHash.slice(0, 12)}…) than that of ${name} (${hash.slice(0, 12)}…); score or pack the corpus with the model's own`,
    );
  }
  if (data.length > model.decoder.maxPositions) {
    throw usageError(
      'sequence-too-long',
      `${data.sources[0]?.path}: has rows of ${data.length} ids, ${name} takes ${model.decoder.maxPositions} positions; score or pack the corpus with a shorter --sequence-length`,
    );
  }
}
