/**
 * A training run from settings to checkpoints. Running it again after any interruption goes on from the newest
 * checkpoint, to the very weights that an uninterrupted run ends with.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { hashJson } from '../dataset/canonical-json.js';
import { usageError } from '../errors.js';
import { chooseDevice } from '../score/device.js';
import { claimFolder } from '../storage/folder-claim.js';
import type { Storage } from '../storage/storage.js';
import type { DataPosition, StepBatch } from './batch.js';
import { loadTrainerState, readCheckpoint, type StoredCheckpoint, writeCheckpoint } from './checkpoint.js';
import { latestCheckpoint, pruneCheckpoints, sweepCheckpoints } from './checkpoints.js';
import { openHeldOut, openTrainingData, stepsOf, type TrainingData } from './data/open.js';
import { divergence } from './divergence.js';
import type { TrainSink } from './events.js';
import { buildLossGraph } from './graph/losses.js';
import { buildStepGraph, RATES } from './graph/step.js';
import { dataInputs, type StepGraphSettings } from './graph/step-settings.js';
import { encodeModel, toModelProto } from '../onnx/proto.js';
import { type HeldOut, heldOutLosses } from './held-out.js';
import { emptyVectors } from './initial-weights.js';
import { checkMemory, hostMemory } from './memory.js';
import { METRICS_FILE, type MetricsWriter, openMetrics } from './metrics.js';
import { openTrainingModel, type TrainingModel } from './model.js';
import { objectiveOf, ruleOf } from './objective.js';
import type { TrainerState } from './parameters.js';
import { publishModel } from './publish-model.js';
import { rankBatch, stepsPerRefresh } from './refresh.js';
import { stepRates } from './schedule.js';
import { openTrainingSession, type TrainingSession } from './session.js';
import type { TrainSettings } from './settings.js';
import type { StepMetrics } from './step-metrics.js';
import { recordOf, sumsAt } from './step-record.js';
import { type EventWriter, openEvents } from './tensorboard.js';

export interface TrainOptions {
  readonly storage: Storage;
  readonly sink: TrainSink;
  /** Raised, the run writes a checkpoint and ends. */
  readonly signal: AbortSignal;
}

export interface TrainReport {
  /** Hugging Face folder with the weights of the last step. */
  readonly model: string;
  readonly parameters: number;
  readonly steps: number;
  /** Steps found done. */
  readonly resumed: number;
  readonly last: StepMetrics | null;
  readonly seconds: number;
}
