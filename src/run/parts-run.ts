import { join } from 'node:path';
import type { Pipeline } from '../config/pipeline.js';
import type { CorpusRow } from '../corpus/document.js';
import { readShard } from '../corpus/read-shard.js';
import type { Shard } from '../corpus/shard.js';
import { hashJson, type JsonObject } from '../dataset/canonical-json.js';
import type { Manifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import { usageError } from '../errors.js';
import { claimFolder } from '../storage/folder-claim.js';
import { sweepStaging } from '../storage/local.js';
import type { Storage } from '../storage/storage.js';
import { finishedManifest } from './done-parts.js';
import type { EventSink } from './events.js';
import { runLanes } from './lanes.js';
import { clearLeftovers, leftoverParts } from './leftovers.js';
import { makePart, type PartContext, type RowStage } from './make-part.js';
import { digestText } from './part-text.js';
import { overlapOf } from './recipe.js';
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

export interface PartsOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
  /** Redo parts that were made with other settings, instead of refusing. */
  readonly replace: boolean;
}

export interface PartsReport extends Totals {
  /** Folder of the parts' files. */
  readonly folder: string;
  readonly shards: number;
  /** Parts found done before this run. */
  readonly resumed: number;
  readonly brokenShards: readonly BrokenShard[];
  readonly seconds: number;
}

/** A corpus to be made into parts, and the step that makes rows into the columns of their files. */
export interface PartsJob
  extends Pick<
    PartContext,
    'kind' | 'folder' | 'tokenizer' | 'columns' | 'lossPrecision' | 'compression' | 'conventions'
  > {
  readonly settings: Pick<Pipeline, 'out' | 'corpus' | 'sequence'>;
  readonly shards: readonly Shard[];
  /** Everything but the input that determines the bytes written. */
  readonly recipe: JsonObject;
  /** Parts in work at once. */
  readonly workers: number;
  /** Opens the stage of one of `lanes` lanes. */
  open(lanes: number): Promise<RowStage>;
}

/**
 * Makes every part that has no matching manifest. Running it again after any interruption finishes the rest; the
 * files are the same bytes for any number of workers.
 * @throws TokensieveError `stale-parts`, `shard-changed` and `folder-busy` (usage); whatever the stage throws
 */
export async function runParts(job: PartsJob, options: PartsOptions): Promise<PartsReport> {
  const started = Date.now();
  const { storage, sink } = options;
  const { settings, folder, recipe, shards } = job;
  const claim = await claimFolder(settings.out, hashJson(recipe));
  try {
    await sweepStaging(folder);
    const planned = await planShards(storage, shards, readOptions(settings), settings.corpus.limit, sink);
    const { plans, broken } = planned;
    const work = await findWork(storage, planned, recipe, folder, options.replace);
    await dropLeftovers(job, options, work.leftovers);
    sink({
      event: 'planned',
      shards: shards.length,
      parts: plans.reduce((sum, plan) => sum + (plan.parts?.length ?? 1), 0),
      done: work.done.length,
      text_bytes: plans.reduce((sum, plan) => sum + plan.textBytes, 0),
      done_bytes: totalsOf(work.done).textBytes,
    });
    const made = await runTasks(work, job, options);
    return {
      folder,
      shards: shards.length,
      resumed: work.done.length,
      ...totalsOf([...work.done, ...made]),
      brokenShards: broken,
      seconds: (Date.now() - started) / 1000,
    };
  } finally {
    await claim.release();
  }
}

async function dropLeftovers(
  { folder, kind }: PartsJob,
  { storage, replace, sink }: PartsOptions,
  leftovers: Work['leftovers'],
): Promise<void> {
  const removed = await clearLeftovers(storage, folder, kind, leftovers, replace);
  if (removed > 0) sink({ event: 'note', message: `removed ${removed} leftover part(s) from ${folder}` });
}

/** Runs the tasks on `workers` lanes; the manifests of the parts made, in no particular order. */
async function runTasks(work: Work, job: PartsJob, options: PartsOptions): Promise<Manifest[]> {
  const context = partContext(job, options);
  const made: Manifest[] = [];
  const lanes = Math.max(1, Math.min(job.workers, work.tasks.length));

  const runTask = async (task: Task, stage: RowStage, signal: AbortSignal): Promise<void> => {
    const { plan } = task;
    const shard = plan.shard.name;
    const doneBefore = work.doneStreamParts.get(shard);
    let parts = 0;
    const wanted = (part: number): boolean => task.part === null || part === task.part.part;
    for await (const reading of readShard(options.storage, plan, readOptions(job.settings), wanted)) {
      signal.throwIfAborted();
      const { part, rows } = reading;
      parts = part + 1;
      const key = partTask(plan, part, task.part?.rowStart ?? null, job.recipe);
      const path = partFiles(job.folder, shard, part).manifest;
      const before = doneBefore?.get(part);
      // Another process may share the work: what it finished in the meantime is not made again.
      const finished = before ?? (await finishedManifest(options.storage, path, key));
      if (finished !== null) {
        if (task.part === null) await checkUnchanged(finished, rows, plan.shard.path, job.folder);
        if (before !== undefined) continue;
        made.push(finished);
        options.sink({ event: 'progress', tokens: 0, text_bytes: finished.counts.text_bytes });
        continue;
      }
      options.sink({ event: 'part-started', shard, part });
      const started = Date.now();
      const manifest = await makePart({ ...context, signal }, key, { part, rows }, stage);
      made.push(manifest);
      const { tokens, documents } = manifest.counts;
      const seconds = (Date.now() - started) / 1000;
      options.sink({ event: 'part-done', shard, part, tokens, documents, seconds });
    }
    if (task.part === null) {
      const own = work.found.filter((place) => place.shard === shard);
      await dropLeftovers(job, options, leftoverParts(own, new Map([[shard, parts]])));
    }
  };
  await runLanes(work.tasks, lanes, options.signal, () => job.open(lanes), runTask);
  return made;
}

/** A stream has no footer to be known by: its text itself tells whether a finished part is still of this shard. */
async function checkUnchanged(
  { shard, part, kind, input }: Manifest,
  rows: AsyncIterable<CorpusRow>,
  path: string,
  folder: string,
): Promise<void> {
  if ((await digestText(rows)) === input.text_sha256) return;
  throw usageError(
    'shard-changed',
    `${path}: is not the file that part ${part} was ${kind} from, though it has its size; to make it anew, remove ${join(folder, shard)} and run the command again`,
  );
}

function partContext(job: PartsJob, { storage, sink }: PartsOptions): Omit<PartContext, 'signal'> {
  const { kind, folder, tokenizer, columns, lossPrecision, compression, conventions } = job;
  const { corpus, sequence } = job.settings;
  return {
    storage,
    kind,
    folder,
    tokenizer,
    packing: {
      length: sequence.length,
      packing: sequence.packing,
      attention: sequence.attention,
      overlap: overlapOf(sequence),
      bosId: sequence.bos ? tokenizer.bosId : null,
      eosId: sequence.eos ? tokenizer.eosId : null,
      eosEligible: sequence.eos_eligible,
    },
    columns,
    lossPrecision,
    compression,
    keepColumns: corpus.keep,
    conventions,
    sink,
  };
}
