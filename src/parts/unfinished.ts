/** What tells of a run that it is not finished, for commands that take its parts as they are. */

import type { FinishedPart } from '../dataset/finished-parts.js';
import { MANIFEST_SUFFIX } from '../dataset/manifest.js';
import { hashJson } from '../json/canonical-json.js';
import { absolutePath, folderOf, nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { readWorkerNotes } from './worker-notes.js';

const SEQUENCES = /\/\d{5,15}\.arrow$/;
/** Shards whose parts only reading tells; a plan counts each as one. */
const STREAM = /\.(gz|zst)$/i;
const manifestOf = (sequences: string): string => sequences.replace(/\.arrow$/, MANIFEST_SUFFIX);

/**
 * A line on parts that have data but no manifest, or that the plan of the run counts and nobody made; null where nothing is
 * seen. Of compressed jsonl the plan knows no number of parts: a run that stopped between two of them is not noticed.
 * @param folder of the parts · @param listed all files below it · @param parts those of the manifests among them
 */
export async function unfinishedRun(
  storage: Storage,
  folder: string,
  listed: readonly string[],
  parts: readonly FinishedPart[],
): Promise<string | null> {
  const manifests = new Set(listed.filter((path) => path.endsWith(MANIFEST_SUFFIX)));
  const open = listed.filter((path) => SEQUENCES.test(path) && !manifests.has(manifestOf(path)));
  const advice = 'if they should be in, finish the run first: run the command that made its parts again';
  if (open.length > 0) {
    return `${folder}: ${open.length} part(s) have data but no manifest and are left out (${open[0]}); ${advice}`;
  }
  const [first] = parts;
  const absolute = absolutePath(folder);
  if (first === undefined || !['scored', 'packed'].includes(nameOf(absolute))) return null;
  const { kind, recipe } = first.manifest;
  const { plans } = await readWorkerNotes(storage, folderOf(absolute));
  const plan = plans.find((one) => one.kind === kind && one.recipe === hashJson(recipe));
  if (plan === undefined) return null;
  const streams = new Set(parts.map(({ manifest }) => manifest.shard).filter((shard) => STREAM.test(shard)));
  const others = parts.filter(({ manifest }) => !STREAM.test(manifest.shard));
  const missing = plan.parts - streams.size - others.length;
  return missing <= 0
    ? null
    : `${folder}: ${missing} planned part(s) are not finished and are left out; ${advice}`;
}
