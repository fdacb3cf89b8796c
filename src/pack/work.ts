import { planShard } from '../corpus/read-shard.js';
import type { CorpusSettings } from '../corpus/settings.js';
import type { PartPlan, ReadOptions, Shard, ShardPlan } from '../corpus/shard.js';
import { fingerprintOf, type Manifest } from '../dataset/manifest.js';
import { type PartPlace, partFiles } from '../dataset/part-files.js';
import { firstLine, TokensieveError, usageError } from '../errors.js';
import { mapAhead } from '../flow/map-ahead.js';
import type { JsonObject } from '../json/canonical-json.js';
import { partState } from '../parts/done-parts.js';
import type { EventSink } from '../parts/events.js';
import { leftoverParts, listPartsAndSizes } from '../parts/leftovers.js';
import type { Counted } from '../parts/totals.js';
import { rowsSetAside } from '../rules/read-reading.js';
import { readNow } from '../rules/reading-changes.js';
import type { Storage } from '../storage/storage.js';
import type { PartTask } from './make-part.js';

const OLDER_RULES = 'by older rules';
/** Footers read at once: a folder of many shards is bound by the store's latency. */
const FOOTERS_AHEAD = 8;
/** Manifests read at once: a resumed run is bound by the store's latency too, and a manifest is small. */
const MANIFESTS_AHEAD = 16;

/** One unit of work: a part of a parquet shard, or a whole jsonl shard, which is read once, in order. */
export interface Task {
  readonly plan: ShardPlan;
  readonly part: PartPlan | null;
}

/** Uncompressed text of a task, as planned: bytes. */
export const taskBytes = ({ plan, part }: Task): number => part?.textBytes ?? plan.textBytes;

/** Everything there is to do, done or not, in order. Pure: every process that plans these shards gets the same. */
export const tasksOf = (plans: readonly ShardPlan[]): readonly Task[] =>
  plans.flatMap((plan): readonly Task[] =>
    plan.parts === null ? [{ plan, part: null }] : plan.parts.map((part) => ({ plan, part })),
  );

export interface BrokenShard {
  readonly shard: string;
  readonly detail: string;
}

export interface Planned {
  readonly plans: readonly ShardPlan[];
  readonly broken: readonly BrokenShard[];
}

/** What a shard reader must be told. */
export function readOptions({ corpus }: { readonly corpus: CorpusSettings }): ReadOptions {
  return {
    columns: { text: corpus.text, keep: corpus.keep },
    maxTextBytes: corpus.max_text_bytes,
    partBytes: corpus.part_bytes,
    ...(corpus.max_page_bytes !== undefined && { maxPageBytes: corpus.max_page_bytes }),
    ...(corpus.limit !== undefined && { limit: corpus.limit }),
  };
}

/** Plans every shard from its footer. A shard that cannot be planned is set aside; the others go on. */
export async function planShards(
  storage: Storage,
  shards: readonly Shard[],
  options: ReadOptions,
  limit: number | undefined,
  sink: EventSink,
): Promise<Planned> {
  const plans: ShardPlan[] = [];
  const broken: BrokenShard[] = [];
  const planOrWhyNot = async (shard: Shard): Promise<ShardPlan | BrokenShard> => {
    try {
      return planOf(await planShard(storage, shard, options), limit);
    } catch (error) {
      if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
      return { shard: shard.name, detail: firstLine(error) };
    }
  };
  for await (const planned of mapAhead(shards, FOOTERS_AHEAD, planOrWhyNot)) {
    if ('parts' in planned) plans.push(planned);
    else {
      broken.push(planned);
      sink({ event: 'quarantined', ...planned, row: 0, rows: null, reason: 'broken-shard' });
    }
  }
  return { plans, broken };
}

/** The plan cut to the shard's first `limit` rows. */
export function planOf(plan: ShardPlan, limit: number | undefined): ShardPlan {
  if (limit === undefined || plan.parts === null) return plan;
  const parts = plan.parts
    .filter((part) => part.rowStart < limit)
    .map((part) => {
      const rowEnd = Math.min(part.rowEnd, limit);
      const share = (rowEnd - part.rowStart) / Math.max(1, part.rowEnd - part.rowStart);
      return { ...part, rowEnd, textBytes: Math.round(part.textBytes * share) };
    });
  const rows = plan.rows === null ? null : Math.min(plan.rows, limit);
  return { ...plan, parts, rows, textBytes: parts.reduce((sum, part) => sum + part.textBytes, 0) };
}

/** What part `part` of the shard must be fingerprinted by, before it is read. */
export function partTask(
  plan: ShardPlan,
  part: number,
  rowStart: number | null,
  recipe: JsonObject,
): PartTask {
  // The entity tag pins the shard while it is read; it differs between stores, so no output may depend on it.
  const { name, size, footerSha256 } = plan.identity;
  const identity = {
    name,
    size,
    ...(footerSha256 !== undefined && { footer_sha256: footerSha256 }),
  };
  return {
    shard: plan.shard.name,
    part,
    rowStart,
    input: identity,
    fingerprint: fingerprintOf(recipe, { ...identity, part }),
    recipe,
  };
}

export interface Work {
  /** Counts of parts that are done and will not be redone; the rest of their manifests would fill the memory. */
  readonly done: readonly Counted[];
  readonly tasks: readonly Task[];
  /** For jsonl shards: parts found done, which are read again but not made again. */
  readonly doneStreamParts: ReadonlyMap<string, ReadonlyMap<number, Manifest>>;
  /** Finished parts found damaged, a line each that names the file. They are among the tasks again. */
  readonly damaged: readonly string[];
  /** Manifests of finished parts whose rows are read otherwise now, to be removed before the parts are made again. */
  readonly outdated: readonly string[];
  /** Parts that the folder had a manifest of. */
  readonly before: number;
  /** Those that this command does not make, as far as plans tell; a jsonl shard's are known when it was read. */
  readonly leftovers: readonly PartPlace[];
}

/**
 * What is left to do of `wanted`, from one listing of the output folder.
 * @param wanted the tasks of this process, of those that the plans make
 * @param changes what parts by older rules have otherwise, in clauses
 * @throws TokensieveError `stale-parts` (usage) unless `replace`
 */
export async function findWork(
  storage: Storage,
  { plans, broken }: Planned,
  wanted: readonly Task[],
  recipe: JsonObject,
  folder: string,
  replace: boolean,
  changes: readonly string[] = [],
): Promise<Work> {
  const { found, sizes } = await listPartsAndSizes(storage, folder);
  const manifests = new Set(found.map(({ shard, part }) => partFiles(folder, shard, part).manifest));
  const done: Counted[] = [];
  const tasks: Task[] = [];
  const doneStreamParts = new Map<string, ReadonlyMap<number, Manifest>>();
  const damaged: string[] = [];
  const outdated: string[] = [];
  const stale: { path: string; why: readonly string[] }[] = [];
  const partsOf = new Map<string, number[]>();
  for (const { shard, part } of found) {
    const parts = partsOf.get(shard);
    if (parts === undefined) partsOf.set(shard, [part]);
    else parts.push(part);
  }
  /** Parts whose state says what is left of a task; of a jsonl shard those that were found. */
  function* looks(): Generator<{ readonly task: Task; readonly part: number }> {
    for (const task of wanted) {
      const parts = task.part === null ? (partsOf.get(task.plan.shard.name) ?? []) : [task.part.part];
      for (const part of parts) yield { task, part };
    }
  }
  const look = async ({ task, part }: { readonly task: Task; readonly part: number }) => {
    const path = partFiles(folder, task.plan.shard.name, part).manifest;
    const state = await partState(storage, manifests, path, partTask(task.plan, part, null, recipe), sizes);
    const old =
      state.state === 'done'
        ? readNow(await rowsSetAside(storage, { manifest: state.manifest, folder }))
        : [];
    return { task, part, path, state, old };
  };
  const finished = new Set<Task>();
  const doneOf = new Map<Task, Map<number, Manifest>>();
  for await (const { task, part, path, state, old } of mapAhead(looks(), MANIFESTS_AHEAD, look)) {
    if (old.length > 0) {
      outdated.push(path);
      stale.push({ path, why: [`${OLDER_RULES}: ${old.map(({ touch }) => touch.what).join('; ')}`] });
      continue;
    }
    if (state.state === 'damaged') damaged.push(state.why);
    if (state.state === 'stale') stale.push({ path, why: state.why });
    if (state.state !== 'done') continue;
    done.push({ counts: state.manifest.counts });
    if (task.part !== null) finished.add(task);
    else doneOf.set(task, (doneOf.get(task) ?? new Map<number, Manifest>()).set(part, state.manifest));
  }
  for (const task of wanted) {
    if (finished.has(task)) continue;
    tasks.push(task);
    // Only reading tells a jsonl shard's parts, so it is read again from the start and done parts are passed over.
    if (task.part === null) doneStreamParts.set(task.plan.shard.name, doneOf.get(task) ?? new Map());
  }
  const [first] = stale;
  if (first !== undefined && !replace) {
    const older = first.why.some((line) => line.startsWith('semantics.')) && changes.length > 0;
    if (older || outdated.length > 0) {
      const why = older ? `${OLDER_RULES}: ${changes.join('; ')}` : first.why[0];
      throw usageError(
        'stale-parts',
        `${folder}: ${stale.length} finished part(s) are ${why} (${first.path}); old and new are never mixed: keep them and choose another --out, or redo them with --replace`,
      );
    }
    throw usageError(
      'stale-parts',
      `${folder}: ${stale.length} finished part(s) were made otherwise (${first.path}: ${first.why.slice(0, 4).join('; ')}); choose another --out, go back to the old settings, or redo them with --replace`,
    );
  }
  const counts = new Map<string, number | null>([
    ...plans.map(({ shard, parts }) => [shard.name, parts?.length ?? null] as const),
    ...broken.map(({ shard }) => [shard, null] as const),
  ]);
  return {
    done,
    tasks,
    doneStreamParts,
    damaged,
    outdated,
    before: found.length,
    leftovers: leftoverParts(found, counts),
  };
}
