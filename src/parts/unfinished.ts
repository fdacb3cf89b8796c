/** What tells of a run that it is not finished, for commands that take its parts as they are. */

import type { DataSet } from '../dataset/data-set.js';
import { hashJson } from '../json/canonical-json.js';
import { absolutePath, folderOf, nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { readWorkerNotes } from './worker-notes.js';

/** Shards whose parts only reading tells; a plan counts each as one. */
const STREAM = /\.(gz|zst)$/i;

/**
 * A line on parts that have data but no manifest, or that the plan of the run counts and nobody made; null where nothing is
 * seen. Of compressed jsonl the plan knows no number of parts: a run that stopped between two of them is not noticed.
 */
export async function unfinishedRun(
  storage: Storage,
  { folder, kind, parts, recipe, unfinished }: DataSet,
): Promise<string | null> {
  const advice = 'if they should be in, finish the run first: run the command that made its parts again';
  if (unfinished.length > 0) {
    return `${folder}: ${unfinished.length} part(s) have data but no manifest and are left out (${unfinished[0]}); ${advice}`;
  }
  const absolute = absolutePath(folder);
  if (!['scored', 'packed'].includes(nameOf(absolute))) return null;
  const { plans } = await readWorkerNotes(storage, folderOf(absolute));
  const plan = plans.find((one) => one.kind === kind && one.recipe === hashJson(recipe.json));
  if (plan === undefined) return null;
  // A plan made of another data set's parts knows each of them.
  const isStream = ({ manifest }: (typeof parts)[number]): boolean =>
    plan.streams > 0 && STREAM.test(manifest.shard);
  const streams = new Set(parts.filter(isStream).map(({ manifest }) => manifest.shard));
  const missing = plan.parts - streams.size - parts.filter((part) => !isStream(part)).length;
  return missing <= 0
    ? null
    : `${folder}: ${missing} planned part(s) are not finished and are left out; ${advice}`;
}
