import { comparePart } from '../dataset/finished-parts.js';
import { type Histogram, mergeHistograms } from '../dataset/histogram.js';
import { MANIFEST_SUFFIX, type Manifest, readManifest } from '../dataset/manifest.js';
import { readRunNotes } from '../dataset/run-notes.js';
import { hashJson, type JsonObject } from '../json/canonical-json.js';
import { type Totals, totalsOf } from '../parts/totals.js';
import type { Storage } from '../storage/storage.js';
import { type ColumnSummary, summaries } from './summary.js';

/** The finished parts of a run that were made alike. */
export interface PartGroup extends Totals {
  readonly of: Manifest['kind'];
  /** First 12 digits of the recipe's sha256. */
  readonly recipeHash: string;
  readonly recipe: JsonObject;
  readonly shards: number;
  /** Bytes of the parts' files. */
  readonly bytes: number;
  readonly columns: readonly ColumnSummary[];
}

export interface RunInspection {
  readonly kind: 'run';
  readonly path: string;
  /** Scored before weighted; more than one of a kind when a folder mixes recipes. */
  readonly groups: readonly PartGroup[];
}

/** Paths of the manifests below a folder; none means that the folder is no run. */
export const manifestsBelow = async (storage: Storage, folder: string): Promise<readonly string[]> =>
  (await storage.list(folder)).filter((path) => path.endsWith(MANIFEST_SUFFIX));

/**
 * Sums up a run's output folder from its manifests alone.
 * @throws TokensieveError (input) `bad-manifest`; (fatal) `bad-run-notes`
 */
export async function inspectRun(
  storage: Storage,
  path: string,
  manifests: readonly string[],
): Promise<RunInspection> {
  // Nothing of it is shown; a folder that looks whole should be.
  await readRunNotes(storage, path);
  const groups = new Map<string, Manifest[]>();
  for (const file of manifests) {
    const manifest = await readManifest(storage, file);
    const key = `${manifest.kind} ${hashJson(manifest.recipe)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [manifest]);
    else group.push(manifest);
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  return { kind: 'run', path, groups: sorted.flatMap(([, parts]) => groupOf(parts)) };
}

function groupOf(manifests: readonly Manifest[]): PartGroup[] {
  const parts = [...manifests].sort(comparePart);
  const [first] = parts;
  if (first === undefined) return [];
  const bytes = parts.flatMap(({ outputs }) => outputs).reduce((sum, output) => sum + output.bytes, 0);
  return [
    {
      of: first.kind,
      recipeHash: hashJson(first.recipe).slice(0, 12),
      recipe: first.recipe,
      shards: new Set(parts.map(({ shard }) => shard)).size,
      bytes,
      ...totalsOf(parts),
      columns: summaries(mergedHistograms(parts)),
    },
  ];
}

function mergedHistograms(parts: readonly Manifest[]): Record<string, Histogram> {
  const names = new Set(parts.flatMap(({ histograms }) => Object.keys(histograms)));
  return Object.fromEntries(
    [...names].map((name) => [
      name,
      mergeHistograms(parts.flatMap(({ histograms }) => histograms[name] ?? [])),
    ]),
  );
}
