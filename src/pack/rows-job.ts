/** A corpus to be made into parts, packed or scored, as a job of the engine of parts. */

import type { CorpusRow } from '../corpus/document.js';
import { planShard, readShard } from '../corpus/read-shard.js';
import type { CorpusSettings } from '../corpus/settings.js';
import type { Shard, ShardPlan } from '../corpus/shard.js';
import type { Manifest } from '../dataset/manifest.js';
import { firstLine, TokensieveError, usageError } from '../errors.js';
import { hashJson, type JsonObject } from '../json/canonical-json.js';
import { dataSetManifests } from '../parts/data-set-manifests.js';
import type { BrokenShard, Making, PartsJob, PartsOptions } from '../parts/parts-job.js';
import { type PartsOutcome, runParts } from '../parts/run-parts.js';
import { type Counted, type Totals, totalsOf } from '../parts/totals.js';
import { RULES_DATE } from '../rules/changes.js';
import { notedRules } from '../rules/noted.js';
import type { SequenceSettings } from '../sequence/settings.js';
import { joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { makePart, type PartRules, type RowStage } from './make-part.js';
import { type Digests, digestRows, sameDigests } from './part-text.js';
import { watchShards } from './shard-watch.js';
import { packingRules } from './text-rows.js';
import { partTask, planOf, planShards, readOptions, rowTasks, type Task, tasksOf } from './work.js';

/** Footers kept of shards whose parts are asked for one by one. */
const KEPT_PLANS = 1_000;

/** What is made of a corpus, and by which step rows become the columns of the parts' files. */
export interface Rows extends Omit<PartRules, 'packing' | 'keepColumns'> {
  readonly settings: {
    readonly out: string;
    readonly corpus: CorpusSettings;
    readonly sequence: SequenceSettings;
  };
  readonly shards: readonly Shard[];
  /** What finding them left out, a line each. */
  readonly notes: readonly string[];
  /** Everything but the input that determines the bytes written. */
  readonly recipe: JsonObject;
  /** What parts by older rules would have otherwise: clauses. Empty where no change of the rules touches this run. */
  readonly changes: readonly string[];
  /** Parts in work at once. */
  readonly workers: number;
  /** Opens the stage of one of `lanes` lanes. */
  open(lanes: number): Promise<RowStage>;
  /** After the last part of a process. Idempotent. */
  finish?(): Promise<void>;
}

export type RowsJob = PartsJob<Task, RowStage, Manifest, Counted>;

/** Rows and their job, with tokenizer and models open. */
export interface OpenRows {
  readonly rows: Rows;
  readonly job: RowsJob;
  close(): Promise<void>;
}

/** With a share, parts, sums and `resumed` are the share's. */
export interface PartsReport extends Totals {
  /** Folder of the parts' files. */
  readonly folder: string;
  readonly shards: number;
  /** Parts found done before this run. */
  readonly resumed: number;
  /** Finished parts found damaged, which this run made again. */
  readonly damaged: number;
  readonly brokenShards: readonly BrokenShard[];
  /** What finding the shards left out, a line each. */
  readonly notes: readonly string[];
  readonly seconds: number;
}

/**
 * Makes every part that has no matching manifest, and closes what was opened.
 * @throws TokensieveError `stale-parts`, `shard-changed` and `folder-busy` (usage); whatever the stage throws
 */
export async function runRows({ rows, job, close }: OpenRows, options: PartsOptions): Promise<PartsReport> {
  try {
    return reportOf(rows, await runParts(job, options));
  } finally {
    await close();
  }
}

const reportOf = ({ folder, notes }: Rows, outcome: PartsOutcome<Counted>): PartsReport => ({
  folder,
  shards: outcome.shards,
  resumed: outcome.resumed,
  damaged: outcome.damaged,
  ...totalsOf(outcome.kept),
  brokenShards: outcome.broken,
  notes,
  seconds: outcome.seconds,
});

export function rowsJob(rows: Rows, storage: Storage): RowsJob {
  const { settings, kind, folder, recipe, shards } = rows;
  const { keep } = settings.corpus;
  const reading = readOptions(settings);
  const rules: PartRules = {
    ...rows,
    packing: packingRules(settings.sequence, rows.tokenizer),
    keepColumns: settings.corpus.keep,
  };
  const manifests = dataSetManifests(folder, kind);
  const tasks = rowTasks(folder, recipe, rows.changes);
  const { limit } = settings.corpus;
  const watch = watchShards({ storage, out: settings.out, kind, manifests, reading, limit, ...tasks });
  const planOfShard = plansByName(shards, async (shard) => {
    const plan = planOf(await planShard(storage, shard, reading), limit);
    await watch.begin([plan]);
    return plan;
  });
  return {
    kind,
    out: settings.out,
    identity: hashJson(recipe),
    manifests,
    workers: rows.workers,
    ...tasks,
    async plan(sink) {
      const { plans, broken } = await planShards(storage, shards, reading, limit, sink);
      await watch.begin(plans);
      return { tasks: tasksOf(plans), shards: shards.length, broken };
    },
    async taskAt({ shard, part }) {
      const plan = await planOfShard(shard);
      if (part === null) return { plan, part };
      const planned = plan.parts?.find((one) => one.part === part);
      return planned === undefined ? null : { plan, part: planned };
    },
    notedRules: async (_, before) => (before === 0 ? RULES_DATE : notedRules(storage, settings.out, kind)),
    open: rows.open,
    async *parts(task, stage, context) {
      const { plan } = task;
      const shard = plan.shard.name;
      const wanted = (part: number): boolean => task.part === null || part === task.part.part;
      for await (const one of readShard(context.storage, plan, reading, wanted)) {
        const { part } = one;
        const expected = partTask(plan, part, task.part?.rowStart ?? null, recipe);
        yield {
          place: { shard, part },
          expected,
          make: (staging) => {
            const look = (read: Digests): Promise<void> => watch.look(plan, part, read);
            return makePart(rules, expected, one, stage, { ...context, staging, look });
          },
          ...(task.part === null && {
            check: (finished) => checkUnchanged(finished, one.rows, { path: plan.shard.path, folder, keep }),
          }),
        } satisfies Making<Manifest>;
      }
    },
    finish: async () => rows.finish?.(),
  };
}

/**
 * Plans of shards by their names, each made when it is first asked for.
 * @throws TokensieveError (usage) `not-here` for a shard that this machine does not see as the one that planned
 */
function plansByName(
  shards: readonly Shard[],
  plan: (shard: Shard) => Promise<ShardPlan>,
): (name: string) => Promise<ShardPlan> {
  const byName = new Map(shards.map((shard) => [shard.name, shard]));
  const plans = new Map<string, Promise<ShardPlan>>();
  return (name) => {
    const known = plans.get(name);
    if (known !== undefined) return known;
    const shard = byName.get(name);
    if (shard === undefined) {
      throw usageError(
        'not-here',
        `shard ${name} is not found here: this machine sees other files than the one that planned`,
      );
    }
    if (plans.size >= KEPT_PLANS) plans.clear();
    const planned = plan(shard).catch((error: unknown) => {
      plans.delete(name);
      if (error instanceof TokensieveError && error.reach === 'input') {
        throw usageError('not-here', firstLine(error), { cause: error });
      }
      throw error;
    });
    plans.set(name, planned);
    return planned;
  };
}

/** A stream has no footer to be known by: its text itself tells whether a finished part is still of this shard. */
async function checkUnchanged(
  { shard, part, kind, input }: Manifest,
  rows: AsyncIterable<CorpusRow>,
  {
    path,
    folder,
    keep,
  }: { readonly path: string; readonly folder: string; readonly keep: readonly string[] },
): Promise<void> {
  if (sameDigests(input, await digestRows(rows, keep))) return;
  throw usageError(
    'shard-changed',
    `${path}: is not the file that part ${part} was ${kind} from, though it has its size; to make it anew, remove ${joinPath(folder, shard)} and run the command again`,
  );
}
