import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import type { Pipeline } from '../config/pipeline.js';
import type { CorpusRow } from '../corpus/document.js';
import { expandShards } from '../corpus/expand.js';
import { readShard } from '../corpus/read-shard.js';
import { hashJson, type JsonObject } from '../dataset/canonical-json.js';
import type { Manifest } from '../dataset/manifest.js';
import { usageError } from '../errors.js';
import type { Device, ModelInfo } from '../model/prepared-model.js';
import { MIXED_WINDOW_BATCHES } from '../score/batches.js';
import { chooseDevice } from '../score/device.js';
import { type ModelRole, openScorer, type Scorer } from '../score/scorer.js';
import { claimFolder } from '../storage/folder-claim.js';
import { sweepStaging } from '../storage/local.js';
import type { Storage } from '../storage/storage.js';
import { finishedManifest } from './done-parts.js';
import type { EventSink } from './events.js';
import { runLanes } from './lanes.js';
import { clearLeftovers, leftoverParts } from './leftovers.js';
import { type ModelInputs, openModelInputs } from './open-inputs.js';
import { partFiles, scoredFolder } from './part-files.js';
import { digestText } from './part-text.js';
import { numericProfile, overlapOf, recipeOf, scoringConventions } from './recipe.js';
import { type PartContext, scorePart } from './score-part.js';
import { type Totals, totalsOf } from './totals.js';
import {
  type BrokenShard,
  findWork,
  partTask,
  planShards,
  readOptions,
  type Task,
  type Work,
} from './work.js';

export interface ScoreOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
  /** Redo parts that were made with other settings, instead of refusing. */
  readonly replace: boolean;
}

export interface ScoreReport extends Totals {
  /** Folder of the scored files. */
  readonly folder: string;
  readonly shards: number;
  /** Parts found done before this run. */
  readonly resumed: number;
  readonly brokenShards: readonly BrokenShard[];
  readonly seconds: number;
}

/**
 * Scores a corpus: every part that has no matching manifest is read, scored and committed. Running it again
 * after any interruption finishes the rest; the files are the same bytes for any number of workers.
 * @throws TokensieveError usage errors of the inputs; `stale-parts`, `shard-changed` and `folder-busy` (usage); fatal errors of
 *   models and disk
 */
export async function scoreCorpus(pipeline: Pipeline, options: ScoreOptions): Promise<ScoreReport> {
  const started = Date.now();
  const { storage, sink } = options;
  const shards = await expandShards(storage, pipeline.shards);
  const { device, why } = chooseDevice(pipeline.score.device);
  sink({ event: 'note', message: why });
  const inputs = await openModelInputs(pipeline, device);
  try {
    const profile = numericProfile(device, ort.env.versions.node ?? ort.env.versions.common);
    const recipe = recipeOf(pipeline, inputs.tokenizer, infosOf(inputs), profile);
    const claim = await claimFolder(pipeline.out, hashJson(recipe));
    try {
      await sweepStaging(scoredFolder(pipeline.out));
      const { limit } = pipeline.corpus;
      const planned = await planShards(storage, shards, readOptions(pipeline), limit, sink);
      const { plans, broken } = planned;
      const work = await findWork(storage, planned, recipe, pipeline.out, options.replace);
      await dropLeftovers(options, scoredFolder(pipeline.out), work.leftovers);
      sink({
        event: 'planned',
        shards: shards.length,
        parts: plans.reduce((sum, plan) => sum + (plan.parts?.length ?? 1), 0),
        done: work.done.length,
        text_bytes: plans.reduce((sum, plan) => sum + plan.textBytes, 0),
        done_bytes: totalsOf(work.done).textBytes,
      });
      const made = await scoreTasks(work, { pipeline, options, inputs, recipe, device });
      return {
        folder: scoredFolder(pipeline.out),
        shards: shards.length,
        resumed: work.done.length,
        ...totalsOf([...work.done, ...made]),
        brokenShards: broken,
        seconds: (Date.now() - started) / 1000,
      };
    } finally {
      await claim.release();
    }
  } finally {
    await inputs.tokenizer.close();
  }
}

/** What the models are, without their graphs. */
export function infosOf({
  models,
}: Pick<ModelInputs, 'models'>): Readonly<Partial<Record<ModelRole, ModelInfo>>> {
  return {
    ...(models.reference && { reference: models.reference.info }),
    ...(models.current && { current: models.current.info }),
  };
}

async function dropLeftovers(
  { storage, replace, sink }: ScoreOptions,
  folder: string,
  leftovers: Work['leftovers'],
): Promise<void> {
  const removed = await clearLeftovers(storage, folder, 'scored', leftovers, replace);
  if (removed > 0) sink({ event: 'note', message: `removed ${removed} leftover part(s) from ${folder}` });
}

interface Running {
  readonly pipeline: Pipeline;
  readonly options: ScoreOptions;
  readonly inputs: ModelInputs;
  readonly recipe: JsonObject;
  readonly device: Device;
}

/** Scores the tasks on `run.workers` lanes; the manifests of the parts made, in no particular order. */
async function scoreTasks(work: Work, running: Running): Promise<Manifest[]> {
  const { pipeline, options, inputs, device } = running;
  const context = partContext(running);
  const made: Manifest[] = [];
  const lanes = Math.max(1, Math.min(pipeline.run.workers, work.tasks.length));
  const sessions = lanes * inputs.roles.length;
  const threads = pipeline.run.threads || Math.max(1, Math.floor(availableParallelism() / sessions));
  const open = (): Promise<Scorer> => openScorer({ models: inputs.models, device, threads });

  const scoreTask = async (task: Task, scorer: Scorer, signal: AbortSignal): Promise<void> => {
    const { plan } = task;
    const shard = plan.shard.name;
    const doneBefore = work.doneStreamParts.get(shard);
    let parts = 0;
    const wanted = (part: number): boolean => task.part === null || part === task.part.part;
    const read = readOptions(pipeline);
    for await (const reading of readShard(options.storage, plan, read, wanted)) {
      signal.throwIfAborted();
      const { part, rows } = reading;
      parts = part + 1;
      const key = partTask(plan, part, task.part?.rowStart ?? null, running.recipe);
      const path = partFiles(context.folder, shard, part).manifest;
      const before = doneBefore?.get(part);
      // Another process may share the work: what it finished in the meantime is not scored again.
      const finished = before ?? (await finishedManifest(options.storage, path, key));
      if (finished !== null) {
        if (task.part === null) await checkUnchanged(finished, rows, plan.shard.path, context.folder);
        if (before !== undefined) continue;
        made.push(finished);
        options.sink({ event: 'progress', tokens: 0, text_bytes: finished.counts.text_bytes });
        continue;
      }
      options.sink({ event: 'part-started', shard, part });
      const started = Date.now();
      const manifest = await scorePart({ ...context, signal }, key, { part, rows }, scorer);
      made.push(manifest);
      const { tokens, documents } = manifest.counts;
      options.sink({
        event: 'part-done',
        shard,
        part,
        tokens,
        documents,
        seconds: (Date.now() - started) / 1000,
      });
    }
    if (task.part === null) {
      const own = work.found.filter((place) => place.shard === shard);
      await dropLeftovers(options, context.folder, leftoverParts(own, new Map([[shard, parts]])));
    }
  };
  await runLanes(work.tasks, lanes, options.signal, open, scoreTask);
  return made;
}

/** A stream has no footer to be known by: its text itself tells whether a finished part is still of this shard. */
async function checkUnchanged(
  { shard, part, input }: Manifest,
  rows: AsyncIterable<CorpusRow>,
  path: string,
  folder: string,
): Promise<void> {
  if ((await digestText(rows)) === input.text_sha256) return;
  throw usageError(
    'shard-changed',
    `${path}: is not the file that part ${part} was scored from, though it has its size; to score it anew, remove ${join(folder, shard)} and run the command again`,
  );
}

function partContext({ pipeline, options, inputs, device }: Running): Omit<PartContext, 'signal'> {
  const { sequence, score } = pipeline;
  const { tokenizer, roles } = inputs;
  return {
    storage: options.storage,
    folder: scoredFolder(pipeline.out),
    tokenizer,
    packing: {
      length: sequence.length,
      packing: sequence.packing,
      attention: sequence.attention,
      overlap: overlapOf(pipeline),
      bosId: sequence.bos ? tokenizer.bosId : null,
      eosId: sequence.eos ? tokenizer.eosId : null,
      eosEligible: sequence.eos_eligible,
    },
    scoring: {
      batchTokens: score.batch_tokens,
      length: sequence.length,
      attention: sequence.attention,
      windowBatches: sequence.packing === 'packed' ? 1 : MIXED_WINDOW_BATCHES,
      fixedRows: device !== 'cpu',
      roles,
      entropy: score.entropy,
    },
    lossPrecision: score.loss_precision,
    compression: score.compression,
    keepColumns: pipeline.corpus.keep,
    conventions: scoringConventions(pipeline),
    sink: options.sink,
  };
}
