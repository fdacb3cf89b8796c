import { readRecipe } from '../dataset/recipe.js';
import type { ExportCounts } from '../export/format.js';
import {
  EXPORT_INDEX,
  type ExportIndex,
  type ExportManifest,
  readExportIndex,
  readExportManifest,
  shardOfManifest,
} from '../export/manifest.js';
import { sumCounts } from '../export/verify.js';
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';
import { joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';

/** What made an export, as its recipe has it. */
interface ExportOrigin {
  readonly format: ExportManifest['format'];
  readonly settings: JsonObject;
  /** Weighted, scored or packed files. */
  readonly source: string | null;
  readonly method: string | null;
  /** Hashes. */
  readonly tokenizer: string | null;
  readonly models: JsonObject;
}

export interface ExportInspection extends ExportOrigin {
  readonly kind: 'export';
  readonly path: string;
  /** Output shards that are done, of how many. */
  readonly done: number;
  readonly shards: number;
  /** Whether its index is there: it is written last. */
  readonly finished: boolean;
  readonly counts: ExportCounts;
  readonly bytes: number;
  /** Parts of the run that are in it. */
  readonly sourceParts: number;
  readonly files: ExportManifest['outputs'];
}

export interface ExportManifestInspection extends ExportOrigin {
  readonly kind: 'export-manifest';
  readonly path: string;
  readonly shard: number;
  readonly shards: number;
  readonly fingerprint: string;
  readonly counts: ExportCounts;
  readonly sources: ExportManifest['sources'];
  readonly outputs: ExportManifest['outputs'];
}

/**
 * Sums up an export's folder from its manifests: no data file is read.
 * @throws TokensieveError (input) `bad-manifest`
 */
export async function inspectExport(storage: Storage, path: string): Promise<ExportInspection> {
  const manifests: ExportManifest[] = [];
  for (const file of await storage.list(joinPath(path, 'manifests'), { shallow: true })) {
    if (shardOfManifest(path, file) !== null) manifests.push(await readExportManifest(storage, file));
  }
  const isIndex = (await storage.list(path, { shallow: true })).some((file) =>
    file.endsWith(`/${EXPORT_INDEX}`),
  );
  const index: ExportIndex | null = isIndex
    ? await readExportIndex(storage, joinPath(path, EXPORT_INDEX))
    : null;
  const files = [...manifests.flatMap(({ outputs }) => outputs), ...(index?.described ?? [])];
  const sources = manifests.flatMap((manifest) => manifest.sources);
  return {
    kind: 'export',
    path,
    ...originOf(index ?? manifests[0]),
    done: manifests.length,
    shards: index?.shards ?? manifests[0]?.shards ?? 0,
    finished: index !== null && manifests.length === index.shards,
    counts: sumCounts(manifests),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    sourceParts: new Set(sources.map(({ shard, part }) => JSON.stringify([shard, part]))).size,
    files,
  };
}

/** @throws TokensieveError (input) `bad-manifest` */
export async function inspectExportManifest(
  storage: Storage,
  path: string,
): Promise<ExportManifestInspection> {
  const manifest = await readExportManifest(storage, path);
  const { shard, shards, fingerprint, counts, sources, outputs } = manifest;
  const origin = originOf(manifest);
  return { kind: 'export-manifest', path, ...origin, shard, shards, fingerprint, counts, sources, outputs };
}

function originOf(of: Pick<ExportManifest, 'format' | 'recipe'> | undefined): ExportOrigin {
  const objectIn = (value: unknown, key: string): JsonObject => {
    const found = isJsonObject(value) ? value[key] : undefined;
    return isJsonObject(found) ? found : {};
  };
  const source = objectIn(of?.recipe, 'source');
  const recipe = readRecipe(objectIn(source, 'recipe'));
  const known = 'problem' in recipe ? null : recipe;
  return {
    format: of?.format ?? 'hf',
    settings: objectIn(of?.recipe, 'settings'),
    source: typeof source['kind'] === 'string' ? source['kind'] : null,
    method: known?.conventions.method ?? null,
    tokenizer: known?.rows.tokenizer.hash ?? null,
    models: known?.rows.models ?? {},
  };
}
