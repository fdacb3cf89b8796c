import { commitPart, type StagedOutput } from './commit-part.js';
import { clearLeftovers, leftoverParts, listParts } from './leftovers.js';
import type { AnyManifest } from './manifests.js';
import { finishedManifest } from './part-state.js';
import type { Lane, Making, MakingContext, PartsJob } from './parts-job.js';

export interface TaskOptions<M> extends MakingContext {
  readonly replace: boolean;
  /** Of a shard that only reading tells: parts known to be done, which are read again, in order, but not made again. */
  readonly doneBefore?: ReadonlyMap<number, M> | undefined;
}

/**
 * Does one task, whoever hands it out: makes its part and commits it; of a shard that only reading tells, every part. A
 * part that has its manifest is not made again, so that a task done twice, by whichever processes, leaves the same files
 * as one done once. On any error, or when the run is stopped, nothing staged is left behind.
 * @returns the manifests of the parts that were made, or found made, and are not in `doneBefore`
 * @throws TokensieveError `stale-parts` (usage); whatever making a part throws
 */
export async function doTask<Task, L extends Lane, M extends AnyManifest, Kept>(
  job: PartsJob<Task, L, M, Kept>,
  task: Task,
  lane: L,
  options: TaskOptions<M>,
): Promise<readonly M[]> {
  const { storage, sink, signal, doneBefore } = options;
  const { manifests } = job;
  const made: M[] = [];
  let parts = 0;
  for await (const making of job.parts(task, lane, { storage, sink, signal })) {
    signal.throwIfAborted();
    const { place, expected } = making;
    parts = place.part + 1;
    const before = doneBefore?.get(place.part);
    // Another process may share the work: what it finished in the meantime is not made again.
    const finished = before ?? (await finishedManifest(storage, manifests, manifests.path(place), expected));
    if (finished === null) {
      made.push(await makePart(job, task, making, options));
      continue;
    }
    await making.check?.(finished);
    if (before !== undefined) continue;
    made.push(finished);
    sink({ event: 'progress', tokens: 0, text_bytes: job.figures(finished, task).textBytes });
  }
  const { shard, part } = job.placeOf(task);
  if (part === null) {
    // Only now is it known how many parts such a shard has.
    const own = await listParts(storage, manifests, shard);
    await clearLeftovers(manifests, leftoverParts(own, new Map([[shard, parts]])), options);
  }
  return made;
}

async function makePart<Task, M extends AnyManifest>(
  { manifests, figures }: Pick<PartsJob<Task, Lane, M, unknown>, 'manifests' | 'figures'>,
  task: Task,
  { place, expected, make }: Making<M>,
  { storage, sink }: MakingContext,
): Promise<M> {
  const started = performance.now();
  const staged: Pick<StagedOutput, 'abort'>[] = [];
  sink({ event: 'part-started', ...place });
  try {
    const part = await make((output) => {
      staged.push(output);
      return output;
    });
    await commitPart({ storage, sink, manifests }, place, expected, part);
    const { tokens, documents } = figures(part.manifest, task);
    const seconds = (performance.now() - started) / 1000;
    sink({ event: 'part-done', ...place, tokens, documents, seconds });
    return part.manifest;
  } catch (error) {
    for (const output of staged) await output.abort();
    sink({ event: 'part-given-up', ...place });
    throw error;
  }
}
