import { z } from 'zod';
import { firstLine, inputError, TokensieveError, usageError } from '../errors.js';
import { canonicalJson, hashJson, isJsonObject, type JsonObject } from '../json/canonical-json.js';
import { isBroken, sealed } from '../json/sealed.js';
import type { ExpectedPart, Manifests } from '../parts/manifests.js';
import { joinPath, normalPath, pathBelow } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { FORMAT_NAMES } from './settings.js';

/**
 * The manifest of an output shard: written last, by rename. A shard is done if and only if its manifest is there and
 * has the fingerprint that the command would write. Nothing in it depends on the run, so equal exports give equal bytes.
 */
const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hex digits');
const digest = sha256.optional().meta({
  description:
    'sha256 of the canonical JSON (RFC 8785) of everything else in this file; absent in exports of early versions',
});
const counts = z.strictObject({ rows: count, tokens: count, kept: count, weight_sum: z.number().min(0) });
const files = z.array(z.strictObject({ name: z.string().min(1), bytes: count, sha256 })).readonly();

export const exportManifestSchema = z
  .strictObject({
    version: z.literal(1),
    kind: z.literal('export'),
    format: z.enum(FORMAT_NAMES),
    shard: count.meta({ description: 'Number of the output shard, from 0' }),
    shards: count,
    fingerprint: sha256.meta({ description: 'Digest of the recipe and of the sources' }),
    recipe: z.record(z.string(), z.unknown()),
    sources: z
      .array(
        z.strictObject({
          shard: z.string(),
          part: count,
          row_start: count,
          row_end: count,
          sha256: sha256.meta({ description: "Of the part's sequence file" }),
        }),
      )
      .readonly(),
    counts,
    outputs: files.meta({ description: "Names are relative to the export's folder" }),
    digest,
  })
  .meta({ title: 'tokensieve export manifest', description: 'One output shard of an export' });

export type ExportManifest = z.infer<typeof exportManifestSchema>;

/** `export.json`: written when every shard is there. */
export const exportIndexSchema = z
  .strictObject({
    version: z.literal(1),
    kind: z.literal('export-index'),
    format: z.enum(FORMAT_NAMES),
    recipe: z.record(z.string(), z.unknown()),
    shards: count,
    counts,
    described: files.meta({ description: 'Files beside the shards, as data set cards' }),
    digest,
  })
  .meta({ title: 'tokensieve export index', description: 'A finished export' });

export type ExportIndex = z.infer<typeof exportIndexSchema>;

/** Name of the index below the export's folder. */
export const EXPORT_INDEX = 'export.json';

/** Path of the manifest of an output shard. */
export const manifestPath = (out: string, index: number): string =>
  joinPath(out, 'manifests', `${String(index).padStart(5, '0')}.json`);

/** Number of the output shard whose manifest has this path; null for other paths. */
export function shardOfManifest(out: string, path: string): number | null {
  const number = Number(/^manifests\/(\d{5,15})\.json$/.exec(pathBelow(out, path) ?? '')?.[1] ?? Number.NaN);
  return manifestPath(out, number) === normalPath(path) ? number : null;
}

/** The digest of what decides a shard's bytes. */
export const shardFingerprint = ({
  recipe,
  sources,
  shard,
  shards,
}: Pick<ExportManifest, 'recipe' | 'sources' | 'shard' | 'shards'>): string =>
  hashJson({ recipe: recipe as JsonObject, sources: [...sources], index: shard, shards });

/** A manifest may name files of its export only. */
export const isBelow = (name: string): boolean =>
  !name.startsWith('/') && !name.split(/[/\\]/).includes('..') && !name.split('/').includes('');

/** Longest manifest that is read: a shard of 10,000 small parts. */
const MAX_BYTES = 1 << 23;

export const exportManifestBytes = (manifest: ExportManifest): Uint8Array =>
  sealedBytes(exportManifestSchema.parse(manifest));

export const exportIndexBytes = (index: ExportIndex): Uint8Array =>
  sealedBytes(exportIndexSchema.parse(index));

function sealedBytes({ digest: _, ...content }: ExportManifest | ExportIndex): Uint8Array {
  return Buffer.from(`${canonicalJson(sealed({ ...content }))}\n`, 'utf8');
}

/** @throws TokensieveError (input) `bad-manifest` */
export const readExportManifest = (storage: Storage, path: string): Promise<ExportManifest> =>
  readJson(storage, path, exportManifestSchema, 'remove it and the shard will be made again');

/** @throws TokensieveError (input) `bad-manifest` */
export const readExportIndex = (storage: Storage, path: string): Promise<ExportIndex> =>
  readJson(storage, path, exportIndexSchema, 'run the export again, and it will be written again');

async function readJson<T>(storage: Storage, path: string, schema: z.ZodType<T>, advice: string): Promise<T> {
  const bad = (what: string) => inputError('bad-manifest', `${path}: ${what}; ${advice}`);
  const { size } = await storage.stat(path);
  if (size > MAX_BYTES) throw bad(`${size} bytes; a manifest has at most ${MAX_BYTES}`);
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(await storage.readRange(path, 0, size)).toString('utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw bad('not JSON');
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) {
    if (isJsonObject(json) && isBroken(json)) throw bad('its digest is not that of its content');
    return parsed.data;
  }
  const [issue] = parsed.error.issues;
  throw bad(`field ${issue?.path.join('.') || '(whole)'}: ${issue?.message}`);
}

/** What a shard's manifest must say to count as this export's. */
export type ShardIdentity = Pick<ExportManifest, 'fingerprint' | 'sources' | 'shard' | 'shards'> & {
  readonly recipe: JsonObject;
};

export const expectedOf = ({ fingerprint, recipe, shards, sources }: ShardIdentity): ExpectedPart => ({
  fingerprint,
  recipe,
  known: { shards, sources },
});

/** What refuses an output shard that was made otherwise. */
export const staleShard = (path: string, why: readonly string[]): TokensieveError =>
  usageError(
    'stale-shards',
    `${path}: made otherwise (${why.slice(0, 4).join('; ')}); choose another --out, or redo the export with --replace`,
  );

/** The manifests of an export, as the engine of parts takes them: a part is an output shard, known by its number alone. */
export function exportManifests(out: string): Manifests<ExportManifest> {
  const output = (name: string): string | null => (isBelow(name) ? joinPath(out, name) : null);
  return {
    folder: out,
    path: ({ part }) => manifestPath(out, part),
    placeOf: (path) => {
      const part = shardOfManifest(out, path);
      return part === null ? null : { shard: '', part };
    },
    read: readExportManifest,
    bytes: exportManifestBytes,
    output: (_, name) => output(name),
    known: ({ shards, sources }) => ({ shards, sources }),
    leftoversError: (path) => staleShard(path, ['the export has fewer shards now']),
    async filesOf(storage, { part }) {
      try {
        const { outputs } = await readExportManifest(storage, manifestPath(out, part));
        return outputs.flatMap(({ name }) => output(name) ?? []);
      } catch (error) {
        if (error instanceof TokensieveError && error.reach === 'input') return [];
        throw error;
      }
    },
    // Its data tell of no recipe.
    otherRecipe: async (_, __, ___, error) => [`manifest unreadable: ${firstLine(error)}`],
  };
}
