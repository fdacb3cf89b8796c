/** What tells of a data set that it is not all of its run, for commands that take its parts as they are. */

import { type DataSet, openDataSet } from '../dataset/data-set.js';
import { MANIFEST_SUFFIX } from '../dataset/manifest.js';
import { TokensieveError } from '../errors.js';
import { hashJson } from '../json/canonical-json.js';
import { absolutePath, folderOf, joinPath, nameOf, pathBelow } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { wholeOf } from './whole-of.js';
import { type PlanNotes, readWorkerNotes, type WorkerNotes } from './worker-notes.js';

/** Shards whose parts only reading tells; a plan counts each as one. */
const STREAM = /\.(gz|zst)$/i;

const FINISH = 'if they should be in, finish the run first: run the command that made its parts again';

type Set = Pick<DataSet, 'name' | 'folder' | 'kind' | 'parts' | 'recipe' | 'unfinished'>;

/**
 * A line on parts that have data but no manifest; that the plan of the run counts and nobody made; that were scored and have
 * no weights. Null where nothing is seen, or where some of the parts were named. Of compressed jsonl the plan knows no number
 * of parts, and whoever came to its end does: a run that stopped between two of them before anybody did is not noticed.
 * @param weights whether the command would have taken weighted parts: told too of a selection of which nothing is finished
 */
export async function unfinishedRun(
  storage: Storage,
  set: Set,
  { weights = false }: { readonly weights?: boolean } = {},
): Promise<string | null> {
  const { folder, kind, unfinished } = set;
  if ((pathBelow(absolutePath(folder), absolutePath(set.name)) ?? '') !== '') return null;
  if (unfinished.length > 0) {
    return `${folder}: ${unfinished.length} part(s) have data but no manifest and are left out (${unfinished[0]}); ${FINISH}`;
  }
  const absolute = absolutePath(folder);
  const isHome = nameOf(absolute) === kind;
  const { plans, workers } = await readWorkerNotes(storage, isHome ? folderOf(absolute) : folder);
  const missing = missingOf(set, plans, workers);
  if (missing > 0)
    return `${folder}: ${missing} planned part(s) are not finished and are left out; ${FINISH}`;
  if (!isHome) return null;
  if (kind === 'weighted') return await unselected(storage, set);
  // Whoever names the scored parts themselves means them.
  if (!weights || absolutePath(set.name) === absolute) return null;
  if (!plans.some((plan) => plan.kind === 'weighted')) return null;
  return `${set.name}: a selection was begun here and none of its parts is finished; the ${kind} parts are taken as they are, without its weights: ${FINISH}`;
}

/** Parts of this very recipe that the plan counts, or whoever came to its end, and that are not there. */
function missingOf(
  { kind, recipe, parts }: Set,
  plans: readonly PlanNotes[],
  workers: readonly WorkerNotes[],
): number {
  const identity = hashJson(recipe.json);
  const isOwn = (one: PlanNotes | WorkerNotes): boolean => one.kind === kind && one.recipe === identity;
  const plan = plans.find(isOwn);
  const whole = wholeOf(plan, workers.filter(isOwn));
  if (whole !== null) return whole - parts.length;
  if (plan === undefined) return 0;
  const isStream = ({ manifest }: Set['parts'][number]): boolean => STREAM.test(manifest.shard);
  const streams = new Set(parts.filter(isStream).map(({ manifest }) => manifest.shard));
  return plan.parts - streams.size - parts.filter((part) => !isStream(part)).length;
}

/** Scored parts that the selection beside them does not have: it was stopped, or they came later. */
async function unselected(storage: Storage, { folder, parts }: Set): Promise<string | null> {
  const scored = joinPath(folderOf(absolutePath(folder)), 'scored');
  const found = (await storage.list(scored)).filter((path) => path.endsWith(MANIFEST_SUFFIX)).length;
  return found <= parts.length
    ? null
    : `${folder}: ${found - parts.length} of ${found} scored parts have no weights and are left out; if they should be in, run tokensieve select again`;
}

/** The same lines of every data set that a folder is or has in it; none where it has no parts that can be read. */
export async function unfinishedBelow(storage: Storage, folder: string): Promise<readonly string[]> {
  const lines = new Set<string>();
  for (const kind of ['scored', 'packed', 'weighted'] as const) {
    const nothing = { code: 'nothing-made', advice: 'name the folder of a run' };
    try {
      const set = await openDataSet(storage, folder, { prefer: [kind], nothing });
      const line = await unfinishedRun(storage, set);
      if (line !== null) lines.add(line);
    } catch (error) {
      // Damage is for those to tell who look for it.
      if (!(error instanceof TokensieveError)) throw error;
    }
  }
  return [...lines];
}
