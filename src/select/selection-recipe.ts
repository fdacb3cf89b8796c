/** What decides the bytes of a weighted part. Pure. */
import type { DataSet } from '../dataset/data-set.js';
import type { FinishedPart } from '../dataset/finished-parts.js';
import type { Manifest } from '../dataset/manifest.js';
import { usageError } from '../errors.js';
import { hashJson, type JsonObject } from '../json/canonical-json.js';
import { expectedOf } from '../parts/derived-job.js';
import type { ExpectedPart } from '../parts/manifests.js';
import { FIRST_VERSIONS } from '../rules/changes.js';
import type { LoadedMethod } from './load.js';
import type { Selection } from './selection.js';
import type { SelectionSettings } from './settings.js';

/**
 * What determines a weighted part besides its scored file. Where the scope is wider than a part, or the method
 * fits something first, every part depends on all of them, so the recipe names them all.
 */
export function selectionRecipe(
  { parts, recipe }: DataSet,
  settings: SelectionSettings,
  { identity }: LoadedMethod,
  selection: Selection,
): JsonObject {
  const { scope, plan } = selection;
  const alone = scope.kind !== 'shard' && scope.kind !== 'dataset' && !(plan.unit === 'token' && plan.fit);
  return {
    semantics: { selecting: 1, writing: FIRST_VERSIONS.writing },
    method: identity,
    select: { ...settings } as JsonObject,
    conventions: { ...selection.conventions },
    scored: recipe.json,
    dataset: alone ? null : hashJson(parts.map(({ manifest }) => scoredDigest(manifest))),
  };
}

/** sha256 of the part's scored file. */
function scoredDigest({ outputs, shard, part }: Manifest): string {
  const sequences = outputs.find(({ kind }) => kind === 'sequences');
  if (sequences !== undefined) return sequences.sha256;
  throw usageError(
    'no-sequences',
    `${shard} part ${part}: its manifest names no sequence file; score it again`,
  );
}

/** What the weighted part of a scored one must be. */
export const weightedPart = (part: FinishedPart, recipe: JsonObject): ExpectedPart =>
  expectedOf(
    part,
    recipe,
    hashJson({
      recipe,
      scored: part.manifest.fingerprint,
      digest: scoredDigest(part.manifest),
      part: part.manifest.part,
    }),
  );
