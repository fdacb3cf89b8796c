import { type Manifest, readManifest } from '../dataset/manifest.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { Storage } from '../storage/storage.js';
import { type ColumnSummary, summaries } from './summary.js';

export interface ManifestInspection {
  readonly kind: 'manifest';
  readonly path: string;
  /** What the part holds. */
  readonly of: Manifest['kind'];
  readonly shard: string;
  readonly part: number;
  readonly fingerprint: string;
  readonly input: Manifest['input'];
  readonly recipe: JsonObject;
  readonly counts: Manifest['counts'];
  readonly columns: readonly ColumnSummary[];
  readonly outputs: Manifest['outputs'];
}

/** @throws TokensieveError (input) `bad-manifest` */
export async function inspectManifest(storage: Storage, path: string): Promise<ManifestInspection> {
  const { kind, shard, part, fingerprint, input, recipe, counts, histograms, outputs } = await readManifest(
    storage,
    path,
  );
  return {
    kind: 'manifest',
    path,
    of: kind,
    shard,
    part,
    fingerprint,
    input,
    recipe,
    counts,
    columns: summaries(histograms),
    outputs,
  };
}
