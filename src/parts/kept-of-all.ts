import { mapAhead } from '../flow/map-ahead.js';
import type { Storage } from '../storage/storage.js';
import { listManifests } from './find-work.js';
import type { AnyManifest } from './manifests.js';
import { partState } from './part-state.js';
import type { Lane, PartsJob } from './parts-job.js';

const MANIFESTS_AHEAD = 16;

/**
 * What is kept of every part's manifest, in the order of the plan, those of other processes read now; null while one is
 * missing, or where the plan has shards whose parts only reading tells and that others read.
 * @param known of the tasks of this process
 */
export async function keptOfAll<Task, M extends AnyManifest, Kept>(
  job: Pick<PartsJob<Task, Lane, M, Kept>, 'manifests' | 'placeOf' | 'expected' | 'keep'>,
  tasks: readonly Task[],
  known: ReadonlyMap<Task, readonly Kept[]>,
  storage: Storage,
): Promise<readonly Kept[] | null> {
  const others = tasks.filter((task) => !known.has(task));
  if (others.length === 0) return tasks.flatMap((task) => known.get(task) ?? []);
  const { sizes } = await listManifests(job, storage);
  const paths = new Map<Task, { readonly path: string; readonly part: number }>();
  for (const task of others) {
    const { shard, part } = job.placeOf(task);
    if (part === null) return null;
    const path = job.manifests.path({ shard, part });
    // Most often somebody is still at it, and nothing need be read to know.
    if (!sizes.has(path)) return null;
    paths.set(task, { path, part });
  }
  const look = async ([task, { path, part }]: readonly [
    Task,
    { readonly path: string; readonly part: number },
  ]) => ({
    task,
    found: await partState(storage, job.manifests, path, job.expected(task, part), sizes),
  });
  const read = new Map(known);
  for await (const { task, found } of mapAhead(paths, MANIFESTS_AHEAD, look)) {
    if (found.state !== 'done') return null;
    read.set(task, [job.keep(found.manifest)]);
  }
  return tasks.flatMap((task) => read.get(task) ?? []);
}
