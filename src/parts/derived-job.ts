/**
 * Jobs whose parts are made one from each finished part of another data set: weighted ones by selection, scored ones by
 * an import. What they have in common.
 */
import { type FinishedPart, knownInput } from '../dataset/finished-parts.js';
import type { Manifest } from '../dataset/manifest.js';
import { usageError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import { dataSetManifests } from './data-set-manifests.js';
import type { ExpectedPart } from './manifests.js';
import type { Lane, PartsJob } from './parts-job.js';

export interface DerivedFolder {
  readonly folder: string;
  readonly kind: Manifest['kind'];
  /** What the manifest made of a part must say. */
  readonly expected: (part: FinishedPart) => ExpectedPart;
  /** What is made again with `--replace`, in words. */
  readonly what: string;
}

type Derived = Pick<
  PartsJob<FinishedPart, Lane, Manifest, Manifest>,
  'manifests' | 'plan' | 'taskAt' | 'placeOf' | 'textBytes' | 'expected' | 'staleError' | 'figures' | 'keep'
>;

/** @param parts those that others are made from, in global order */
export function derivedParts(
  parts: readonly FinishedPart[],
  { folder, kind, expected, what }: DerivedFolder,
): Derived {
  const manifests = dataSetManifests(folder, kind);
  const byPath = new Map(parts.map((part) => [manifests.path(part.manifest), part]));
  return {
    manifests,
    plan: async () => ({
      tasks: parts,
      shards: new Set(parts.map(({ manifest }) => manifest.shard)).size,
      broken: [],
    }),
    taskAt: async ({ shard, part }) =>
      part === null ? null : (byPath.get(manifests.path({ shard, part })) ?? null),
    placeOf: ({ manifest: { shard, part } }) => ({ shard, part }),
    textBytes: ({ manifest }) => manifest.counts.text_bytes,
    expected,
    staleError: ([first]) =>
      usageError(
        'stale-parts',
        `${first?.path}: made otherwise (${first?.why.slice(0, 4).join('; ')}); choose another --out, or redo the ${what} with --replace`,
      ),
    figures: ({ counts }) => ({
      tokens: counts.tokens,
      documents: counts.documents,
      textBytes: counts.text_bytes,
    }),
    keep: (manifest) => manifest,
  };
}

/** What the part made of a finished one must be. @param fingerprint of its recipe and of the part that it is made from */
export const expectedOf = (
  { manifest }: FinishedPart,
  recipe: JsonObject,
  fingerprint: string,
): ExpectedPart => ({ fingerprint, recipe, known: { input: knownInput(manifest) } });
