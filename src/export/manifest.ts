import { z } from 'zod';
import { FORMAT_NAMES } from '../config/export.js';
import { canonicalJson } from '../dataset/canonical-json.js';
import { inputError } from '../errors.js';
import type { Storage } from '../storage/storage.js';

/**
 * The manifest of an output shard: written last, by rename. A shard is done if and only if its manifest is there and
 * has the fingerprint that the command would write. Nothing in it depends on the run, so equal exports give equal bytes.
 */
const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hex digits');

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
    counts: z.strictObject({
      rows: count,
      tokens: count,
      kept: count,
      weight_sum: z.number().min(0),
    }),
    outputs: z
      .array(z.strictObject({ name: z.string().min(1), bytes: count, sha256 }))
      .readonly()
      .meta({ description: "Names are relative to the export's folder" }),
  })
  .meta({ title: 'tokensieve export manifest', description: 'One output shard of an export' });

export type ExportManifest = z.infer<typeof exportManifestSchema>;

/** Longest manifest that is read: a shard of 10,000 small parts. */
const MAX_BYTES = 1 << 23;

export const exportManifestBytes = (manifest: ExportManifest): Uint8Array =>
  Buffer.from(`${canonicalJson(exportManifestSchema.parse(manifest))}\n`, 'utf8');

/** @throws TokensieveError (input) `bad-manifest` */
export async function readExportManifest(storage: Storage, path: string): Promise<ExportManifest> {
  const { size } = await storage.stat(path);
  if (size > MAX_BYTES) throw bad(path, `${size} bytes; a manifest has at most ${MAX_BYTES}`);
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(await storage.readRange(path, 0, size)).toString('utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw bad(path, 'not JSON');
  }
  const parsed = exportManifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw bad(path, `field ${issue?.path.join('.') || '(whole)'}: ${issue?.message}`);
}

const bad = (path: string, what: string) =>
  inputError('bad-manifest', `${path}: ${what}; remove it and the shard will be made again`);
