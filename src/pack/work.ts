import { planShard } from '../corpus/read-shard.js';
import type { CorpusSettings } from '../corpus/settings.js';
import type { PartPlan, ReadOptions, Shard, ShardPlan } from '../corpus/shard.js';
import { refuseWithoutText } from '../corpus/text-column.js';
import { fingerprintOf, type Manifest } from '../dataset/manifest.js';
import { firstLine, TokensieveError, usageError } from '../errors.js';
import { mapAhead } from '../flow/map-ahead.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { EventSink } from '../parts/events.js';
import type { BrokenShard, JobPlan, Lane, PartsJob } from '../parts/parts-job.js';
import type { Counted } from '../parts/totals.js';
import { rowsSetAside } from '../rules/read-reading.js';
import { readNow } from '../rules/reading-changes.js';
import type { Storage } from '../storage/storage.js';
import type { PartTask } from './make-part.js';

const OLDER_RULES = 'by older rules';
/** Footers read at once: a folder of many shards is bound by the store's latency. */
const FOOTERS_AHEAD = 8;

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

export interface Planned extends Pick<JobPlan<Task>, 'broken'> {
  readonly plans: readonly ShardPlan[];
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

/**
 * Plans every shard from its footer. A shard that cannot be planned is set aside; the others go on.
 * @throws TokensieveError (usage) `missing-column` where none has the column of the text
 */
export async function planShards(
  storage: Storage,
  shards: readonly Shard[],
  options: ReadOptions,
  limit: number | undefined,
  sink: EventSink,
): Promise<Planned> {
  const plans: ShardPlan[] = [];
  const broken: BrokenShard[] = [];
  const errors: TokensieveError[] = [];
  const planOrWhyNot = async (shard: Shard): Promise<ShardPlan | TokensieveError> => {
    try {
      return planOf(await planShard(storage, shard, options), limit);
    } catch (error) {
      if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
      return error;
    }
  };
  const withNames = async (shard: Shard) => ({ shard: shard.name, planned: await planOrWhyNot(shard) });
  for await (const { shard, planned } of mapAhead(shards, FOOTERS_AHEAD, withNames)) {
    if ('parts' in planned) plans.push(planned);
    else {
      broken.push({ shard, detail: firstLine(planned) });
      errors.push(planned);
    }
  }
  await refuseWithoutText(storage, { plans, errors }, options.columns.text);
  for (const one of broken) {
    sink({ event: 'quarantined', ...one, row: 0, rows: null, reason: 'broken-shard' });
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
    known: { input: identity },
    fingerprint: fingerprintOf(recipe, { ...identity, part }),
    recipe,
  };
}

/**
 * What the engine must know of the tasks of packing and scoring. Pure, but for a look at the quarantine report of a
 * finished part.
 * @param changes what parts by older rules have otherwise, in clauses
 */
export const rowTasks = (
  folder: string,
  recipe: JsonObject,
  changes: readonly string[],
): Pick<
  PartsJob<Task, Lane, Manifest, Counted>,
  'placeOf' | 'textBytes' | 'expected' | 'outdated' | 'staleError' | 'figures' | 'keep' | 'quarantined'
> => ({
  placeOf: ({ plan, part }) => ({ shard: plan.shard.name, part: part?.part ?? null }),
  textBytes: taskBytes,
  expected: ({ plan, part }, number) => partTask(plan, number, part?.rowStart ?? null, recipe),
  async outdated(storage, manifest) {
    const old = readNow(await rowsSetAside(storage, { manifest, folder }));
    return old.length === 0 ? null : `${OLDER_RULES}: ${old.map(({ touch }) => touch.what).join('; ')}`;
  },
  staleError(stale) {
    const [first] = stale;
    const why = first?.why ?? [];
    const older = changes.length > 0 && why.some((line) => line.startsWith('semantics.'));
    if (older || stale.some(({ outdated }) => outdated)) {
      const which = older ? `${OLDER_RULES}: ${changes.join('; ')}` : why[0];
      return usageError(
        'stale-parts',
        `${folder}: ${stale.length} finished part(s) are ${which} (${first?.path}); old and new are never mixed: keep them and choose another --out, or redo them with --replace`,
      );
    }
    return usageError(
      'stale-parts',
      `${folder}: ${stale.length} finished part(s) were made otherwise (${first?.path}: ${why.slice(0, 4).join('; ')}); choose another --out, go back to the old settings, or redo them with --replace`,
    );
  },
  figures: ({ counts }) => ({
    tokens: counts.tokens,
    documents: counts.documents,
    textBytes: counts.text_bytes,
  }),
  // The rest of many manifests would fill the memory.
  keep: ({ counts }) => ({ counts }),
  quarantined: ({ counts }) => Object.keys(counts.quarantined).length > 0,
});
