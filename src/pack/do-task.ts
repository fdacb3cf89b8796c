import type { CorpusRow } from '../corpus/document.js';
import { readShard } from '../corpus/read-shard.js';
import type { Manifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import { usageError } from '../errors.js';
import { finishedManifest } from '../parts/done-parts.js';
import type { EventSink } from '../parts/events.js';
import { clearLeftovers, leftoverParts, listParts } from '../parts/leftovers.js';
import { joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { makePart, type RowStage } from './make-part.js';
import { digestText } from './part-text.js';
import { type PartsJob, partContext } from './parts-job.js';
import { partTask, readOptions, type Task } from './work.js';

export interface TaskOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  /** Stops the task; nothing staged is left behind. */
  readonly signal: AbortSignal;
  readonly replace: boolean;
  /** Of a jsonl shard: parts known to be done, which are read again, in order, but not made again. */
  readonly doneBefore?: ReadonlyMap<number, Manifest> | undefined;
}

/**
 * Does one task, whoever hands it out: reads the part, makes its rows into columns and commits it; of a jsonl shard
 * every part. A part that has its manifest is not made again, so that a task done twice, by whichever processes, leaves
 * the same files as one done once.
 * @returns the manifests of the parts that were made, or found made, and are not in `doneBefore`
 * @throws TokensieveError `shard-changed`, `stale-parts` (usage); whatever the stage throws
 */
export async function doTask(
  job: PartsJob,
  task: Task,
  stage: RowStage,
  { storage, sink, signal, replace, doneBefore }: TaskOptions,
): Promise<readonly Manifest[]> {
  const { plan } = task;
  const shard = plan.shard.name;
  const context = { ...partContext(job, storage, sink), signal };
  const made: Manifest[] = [];
  let parts = 0;
  const wanted = (part: number): boolean => task.part === null || part === task.part.part;
  for await (const reading of readShard(storage, plan, readOptions(job.settings), wanted)) {
    signal.throwIfAborted();
    const { part, rows } = reading;
    parts = part + 1;
    const key = partTask(plan, part, task.part?.rowStart ?? null, job.recipe);
    const path = partFiles(job.folder, shard, part).manifest;
    const before = doneBefore?.get(part);
    // Another process may share the work: what it finished in the meantime is not made again.
    const finished = before ?? (await finishedManifest(storage, path, key));
    if (finished !== null) {
      if (task.part === null) await checkUnchanged(finished, rows, plan.shard.path, job.folder);
      if (before !== undefined) continue;
      made.push(finished);
      sink({ event: 'progress', tokens: 0, text_bytes: finished.counts.text_bytes });
      continue;
    }
    sink({ event: 'part-started', shard, part });
    const started = Date.now();
    try {
      const manifest = await makePart(context, key, { part, rows }, stage);
      made.push(manifest);
      const { tokens, documents } = manifest.counts;
      const seconds = (Date.now() - started) / 1000;
      sink({ event: 'part-done', shard, part, tokens, documents, seconds });
    } catch (error) {
      sink({ event: 'part-given-up', shard, part });
      throw error;
    }
  }
  if (task.part === null) {
    // Only now is it known how many parts a jsonl shard has.
    const own = await listParts(storage, job.folder, shard);
    await dropLeftovers(job, { storage, sink, replace }, leftoverParts(own, new Map([[shard, parts]])));
  }
  return made;
}

/** @throws TokensieveError `stale-parts` (usage) unless `replace` */
export async function dropLeftovers(
  { folder, kind }: Pick<PartsJob, 'folder' | 'kind'>,
  { storage, replace, sink }: Pick<TaskOptions, 'storage' | 'replace' | 'sink'>,
  leftovers: ReturnType<typeof leftoverParts>,
): Promise<void> {
  const removed = await clearLeftovers(storage, folder, kind, leftovers, replace);
  if (removed > 0) sink({ event: 'note', message: `removed ${removed} leftover part(s) from ${folder}` });
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
    `${path}: is not the file that part ${part} was ${kind} from, though it has its size; to make it anew, remove ${joinPath(folder, shard)} and run the command again`,
  );
}
