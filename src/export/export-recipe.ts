/** What decides the bytes of an export. Pure. */
import type { Manifest } from '../dataset/manifest.js';
import { usageError } from '../errors.js';
import { canonicalJson, type JsonObject } from '../json/canonical-json.js';
import type { ExportFormat } from './format.js';
import { type ShardIdentity, shardFingerprint } from './manifest.js';
import type { PlannedShard } from './plan.js';
import type { ExportSettings } from './settings.js';
import type { ExportSource } from './source.js';

/** What decides an export's bytes besides its sources. */
export function exportRecipe(
  settings: ExportSettings,
  format: ExportFormat,
  source: ExportSource,
): JsonObject {
  const chosen: Record<string, unknown> = Object.fromEntries(
    (['shard_bytes', 'threshold', ...format.settings] as const).map((name) => [name, settings[name] ?? null]),
  );
  for (const [name, before] of Object.entries(format.later ?? {})) {
    const value = settings[name as keyof ExportSettings];
    if (canonicalJson(value) !== canonicalJson(before)) chosen[name] = value;
  }
  return {
    format: format.name,
    semantics: { exporting: 1, format: format.semantics },
    settings: chosen,
    source: { kind: source.kind, recipe: source.recipe.json },
  };
}

/** @param shards of the whole export */
export function identityOf(
  { index, slices }: PlannedShard,
  shards: number,
  recipe: JsonObject,
): ShardIdentity {
  const sources = slices.map(({ part: { manifest }, rowStart, rowEnd }) => ({
    shard: manifest.shard,
    part: manifest.part,
    row_start: rowStart,
    row_end: rowEnd,
    sha256: sequencesDigest(manifest),
  }));
  const identity = { shard: index, shards, recipe, sources };
  return { ...identity, fingerprint: shardFingerprint(identity) };
}

function sequencesDigest({ outputs, shard, part }: Manifest): string {
  const found = outputs.find(({ kind }) => kind === 'sequences');
  if (found !== undefined) return found.sha256;
  throw usageError(
    'not-exportable',
    `${shard} part ${part}: its manifest names no sequence file; make it again`,
  );
}
