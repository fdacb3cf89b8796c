import type { PartPlace } from '../dataset/part-files.js';
import { mapAhead } from '../flow/map-ahead.js';
import { normalPath } from '../storage/path.js';
import { sizesBelow } from '../storage/sizes.js';
import type { Storage } from '../storage/storage.js';
import type { AnyManifest, StalePart } from './manifests.js';
import { partState } from './part-state.js';
import type { JobPlan, Lane, PartsJob } from './parts-job.js';

/** Manifests read at once: a resumed run is bound by the store's latency, and a manifest is small. */
const MANIFESTS_AHEAD = 16;

export interface Work<Task, M, Kept> {
  /** What is kept of parts that are done and will not be redone, and the task each is of. */
  readonly done: readonly { readonly task: Task; readonly kept: Kept }[];
  /** Text that the parts done stand for: UTF-8 bytes. */
  readonly doneBytes: number;
  /** What is left. */
  readonly tasks: readonly Task[];
  /** For shards whose parts only reading tells: parts found done, which are read again but not made again. */
  readonly doneBefore: ReadonlyMap<Task, ReadonlyMap<number, M>>;
  /** Finished parts found damaged, a line each that names the file. They are among the tasks again. */
  readonly damaged: readonly string[];
  /** Manifests of finished parts that older rules made otherwise, to be removed before the parts are made again. */
  readonly outdated: readonly string[];
  /** Parts that the folder had a manifest of. */
  readonly before: number;
  /** Those that this command does not make, as far as the plan tells. */
  readonly leftovers: readonly PartPlace[];
}

type Known<Task, M extends AnyManifest, Kept> = Pick<
  PartsJob<Task, Lane, M, Kept>,
  'manifests' | 'placeOf' | 'expected' | 'outdated' | 'staleError' | 'keep' | 'figures'
>;

/**
 * What is left to do, from one listing of the output folder.
 * @param own the tasks of this process, of those of the plan
 * @throws TokensieveError (usage) as the job refuses stale parts, unless `replace`
 */
export async function findWork<Task, M extends AnyManifest, Kept>(
  job: Known<Task, M, Kept>,
  { tasks: all, broken }: Pick<JobPlan<Task>, 'tasks' | 'broken'>,
  own: readonly Task[],
  { storage, replace }: { readonly storage: Storage; readonly replace: boolean },
): Promise<Work<Task, M, Kept>> {
  const { manifests } = job;
  const { found, sizes } = await listManifests(job, storage);
  const partsOf = new Map<string, number[]>();
  for (const { shard, part } of found) {
    const parts = partsOf.get(shard);
    if (parts === undefined) partsOf.set(shard, [part]);
    else parts.push(part);
  }
  /** Parts whose state says what is left of a task; of a shard that only reading tells those that were found. */
  function* looks(): Generator<{ readonly task: Task; readonly part: number }> {
    for (const task of own) {
      const { shard, part } = job.placeOf(task);
      for (const one of part === null ? (partsOf.get(shard) ?? []) : [part]) yield { task, part: one };
    }
  }
  const look = async ({ task, part }: { readonly task: Task; readonly part: number }) => {
    const path = manifests.path({ shard: job.placeOf(task).shard, part });
    const state = await partState(storage, manifests, path, job.expected(task, part), sizes);
    const old = state.state === 'done' ? ((await job.outdated?.(storage, state.manifest)) ?? null) : null;
    return { task, part, path, state, old };
  };
  const done: { readonly task: Task; readonly kept: Kept }[] = [];
  const doneOf = new Map<Task, Map<number, M>>();
  const finished = new Set<Task>();
  const damaged: string[] = [];
  const outdated: string[] = [];
  const stale: StalePart[] = [];
  let doneBytes = 0;
  for await (const { task, part, path, state, old } of mapAhead(looks(), MANIFESTS_AHEAD, look)) {
    if (old !== null) {
      outdated.push(path);
      stale.push({ path, why: [old], outdated: true });
      continue;
    }
    if (state.state === 'damaged') damaged.push(state.why);
    if (state.state === 'stale') stale.push({ path, why: state.why, outdated: false });
    if (state.state !== 'done') continue;
    done.push({ task, kept: job.keep(state.manifest) });
    doneBytes += job.figures(state.manifest, task).textBytes;
    if (job.placeOf(task).part !== null) finished.add(task);
    else doneOf.set(task, (doneOf.get(task) ?? new Map<number, M>()).set(part, state.manifest));
  }
  if (stale.length > 0 && !replace) throw job.staleError(stale);
  const tasks = own.filter((task) => !finished.has(task));
  // Only reading tells such a shard's parts, so it is read again from the start and done parts are passed over.
  const open = tasks.filter((task) => job.placeOf(task).part === null);
  return {
    done,
    doneBytes,
    tasks,
    doneBefore: new Map(open.map((task) => [task, doneOf.get(task) ?? new Map()])),
    damaged,
    outdated,
    before: found.length,
    leftovers: leftoversOf(job, found, all, broken),
  };
}

/** The parts that have a manifest in the folder, and the size of every file below it by its normal path. */
export async function listManifests<M extends AnyManifest>(
  {
    manifests,
  }: { readonly manifests: Pick<PartsJob<never, Lane, M, never>['manifests'], 'folder' | 'placeOf'> },
  storage: Storage,
): Promise<{ readonly found: readonly PartPlace[]; readonly sizes: ReadonlyMap<string, number> }> {
  const sizes = new Map<string, number>();
  for (const [path, size] of await sizesBelow(storage, manifests.folder)) sizes.set(normalPath(path), size);
  return { found: [...sizes.keys()].flatMap((path) => manifests.placeOf(path) ?? []), sizes };
}

/** Found parts that no task of the whole plan makes; those of broken shards, and of shards that only reading tells, may be. */
function leftoversOf<Task, M extends AnyManifest, Kept>(
  { manifests, placeOf }: Pick<Known<Task, M, Kept>, 'manifests' | 'placeOf'>,
  found: readonly PartPlace[],
  all: readonly Task[],
  broken: JobPlan<Task>['broken'],
): readonly PartPlace[] {
  const open = new Set(broken.map(({ shard }) => shard));
  const wanted = new Set<string>();
  for (const task of all) {
    const { shard, part } = placeOf(task);
    if (part === null) open.add(shard);
    else wanted.add(manifests.path({ shard, part }));
  }
  return found.filter((place) => !open.has(place.shard) && !wanted.has(manifests.path(place)));
}
