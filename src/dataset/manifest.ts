import { z } from 'zod';
import { fatalError, inputError, type TokensieveError } from '../errors.js';
import { canonicalJson, hashJson, isJsonObject, type JsonObject } from '../json/canonical-json.js';
import { parseJson } from '../json/parse-json.js';
import { sealed } from '../json/sealed.js';
import type { StagedFile, Storage } from '../storage/storage.js';

/**
 * The manifest of a part: one JSON file beside its outputs, written last and by rename. A part is done if and
 * only if its manifest is there and its fingerprint is the one that the run would write. It holds nothing that
 * depends on the run (no times, hosts, absolute paths), so equal runs give equal bytes.
 */
export const MANIFEST_VERSION = 1;
export const MANIFEST_SUFFIX = '.manifest.json';

/** A shard's name becomes a path below the folder of parts, and must stay there. */
const SHARD_NAME = /^(?!\.{1,2}(?:\/|$))[^/\0]+(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)*$/;

const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hex digits');

const histogram = z.strictObject({
  lower: z.number(),
  width: z.number().positive(),
  bins: z.array(count).readonly(),
  below: count,
  above: count,
  count,
  sum: z.number(),
  min: z.number().nullable(),
  max: z.number().nullable(),
});

const mark = z.strictObject({
  id: count.nullable().meta({ description: 'Null where none was inserted' }),
  source: z.string().meta({ description: 'Who says so, or why there is none' }),
});

const output = z.strictObject({
  kind: z.enum(['sequences', 'documents', 'quarantine']).meta({
    description:
      'Scored, weighted or packed Arrow file, documents Arrow file, or rows set aside as JSON lines',
  }),
  name: z
    .string()
    .regex(/^(?!\.{1,2}$)[^/\\\0]+$/, 'expected a file name without a folder')
    .meta({ description: "File name in the manifest's folder" }),
  bytes: count,
  sha256,
  rows: count,
});

export const manifestSchema = z
  .strictObject({
    version: z.literal(MANIFEST_VERSION),
    kind: z.enum(['scored', 'weighted', 'packed']),
    shard: z
      .string()
      .regex(SHARD_NAME, 'expected a relative path without empty, . or .. parts')
      .meta({ description: 'Name of the shard, relative to the pattern that found it' }),
    part: count,
    input: z
      .strictObject({
        name: z.string(),
        size: count.meta({ description: 'Bytes of the shard' }),
        footer_sha256: sha256.optional().meta({ description: "Digest of a parquet shard's footer" }),
        row_start: count,
        row_end: count.meta({ description: 'Rows [row_start, row_end) of the shard' }),
        text_sha256: sha256.meta({ description: 'Digest of the text that was read' }),
        columns_sha256: sha256.optional().meta({
          description:
            'Digest of the kept columns that were read; absent where none are kept, and in manifests of early versions',
        }),
      })
      .meta({ description: 'What was read' }),
    fingerprint: sha256.meta({ description: "Digest of the recipe and of the input's identity" }),
    recipe: z
      .record(z.string(), z.unknown())
      .meta({ description: 'Everything but the input that decides the bytes of the outputs' }),
    counts: z.strictObject({
      documents: count,
      text_bytes: count,
      quarantined_rows: count,
      quarantined: z.record(z.string(), count).meta({ description: 'Rows set aside, by reason' }),
      sequences: count,
      tokens: count,
      eligible: count
        .optional()
        .meta({ description: 'Targets: tokens with a loss; in packed files, of weight 1' }),
      kept: count.optional().meta({ description: 'Tokens of weight above 0' }),
      weight_sum: z.number().min(0).optional(),
    }),
    marks: z
      .strictObject({ bos: mark, eos: mark })
      .optional()
      .meta({ description: 'What was put around documents; absent in manifests of early versions' }),
    histograms: z
      .record(z.string(), histogram)
      .meta({ description: 'By column, and `excess` (current − reference), in nats' }),
    outputs: z.array(output).readonly(),
    digest: sha256.optional().meta({
      description:
        'sha256 of the canonical JSON (RFC 8785) of everything else in this file; absent in manifests of early versions',
    }),
  })
  .meta({ title: 'tokensieve manifest', description: 'One part of a scored, weighted or packed data set' });

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

export type Manifest = DeepReadonly<z.infer<typeof manifestSchema>>;
export type ManifestOutput = Manifest['outputs'][number];

/** Longest manifest that is read: a hundred times the size of a real one. */
const MAX_MANIFEST_BYTES = 1 << 22;

/**
 * The bytes of a manifest: canonical JSON, sealed with its own digest, and a newline. Throws a fatal error when it
 * breaks the schema.
 */
export function manifestBytes(manifest: Manifest): Uint8Array {
  const problem = problemOf(manifestSchema.safeParse(manifest));
  if (problem !== undefined) throw fatalError('bad-manifest', `a manifest to be written has ${problem}`);
  return Buffer.from(sealedText(manifest), 'utf8');
}

/** A flipped bit that leaves a manifest JSON of the right shape does not leave it this text. */
function sealedText(manifest: Manifest): string {
  const { digest: _, ...content } = manifest;
  return `${canonicalJson(sealed(content))}\n`;
}

/** Writes a manifest under a staging name; its `commit` makes the part done. */
export async function stageManifest(storage: Storage, path: string, manifest: Manifest): Promise<StagedFile> {
  const bytes = manifestBytes(manifest);
  const file = await storage.stage(path);
  try {
    await file.write(bytes);
  } catch (error) {
    await file.abort();
    throw error;
  }
  return file;
}

/**
 * Reads and checks a manifest. Throws an input error that names the file and the field: `bad-manifest` where it is
 * damaged or something else, `newer-manifest`.
 */
export async function readManifest(storage: Storage, path: string): Promise<Manifest> {
  const { size } = await storage.stat(path);
  if (size > MAX_MANIFEST_BYTES) {
    throw damaged(path, `${size} bytes; a manifest has at most ${MAX_MANIFEST_BYTES}`);
  }
  return parseManifest(Buffer.from(await storage.readRange(path, 0, size)).toString('utf8'), path);
}

/** The manifest in a JSON text. `path` is named in errors. Throws an input error. */
export function parseManifest(text: string, path: string): Manifest {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch {
    throw damaged(path, 'not JSON');
  }
  const version = isJsonObject(json) ? json.version : undefined;
  if (typeof version === 'number' && version > MANIFEST_VERSION) {
    throw inputError(
      'newer-manifest',
      `${path}: manifest version ${version}; this package reads ${MANIFEST_VERSION}: use a newer one`,
    );
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) throw damaged(path, problemOf(parsed) ?? 'not a manifest');
  const { digest, ...manifest } = parsed.data;
  if (digest !== undefined && text !== sealedText(manifest)) {
    throw damaged(path, 'its digest is not that of its content');
  }
  return manifest;
}

const damaged = (path: string, what: string): TokensieveError =>
  inputError('bad-manifest', `${path}: ${what}; run the command that wrote it again to make the part anew`);

function problemOf(parsed: z.ZodSafeParseResult<unknown>): string | undefined {
  const issue = parsed.error?.issues[0];
  return issue && `field ${issue.path.join('.') || '(whole)'}: ${issue.message}`;
}

/** What identifies the input of a part before its text is read. */
export interface InputIdentity {
  readonly name: string;
  readonly size: number;
  readonly footer_sha256?: string;
  readonly part: number;
}

/** The fingerprint of a part: sha256 over the canonical JSON of its recipe and its input's identity. */
export const fingerprintOf = (recipe: JsonObject, input: InputIdentity): string =>
  hashJson({ input, recipe });

/**
 * One line for each field that differs between two recipes (`sequence.length: 512 → 1024`), in the order of
 * field names. Empty when they are equal.
 */
export function explainDifference(before: unknown, after: unknown, path = ''): string[] {
  if (isJsonObject(before) && isJsonObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) =>
      explainDifference(before[key], after[key], path === '' ? key : `${path}.${key}`),
    );
  }
  const show = (value: unknown) => (value === undefined ? 'absent' : canonicalJson(value));
  const [a, b] = [show(before), show(after)];
  return a === b ? [] : [`${path || 'all'}: ${shorten(a)} → ${shorten(b)}`];
}

/** Long values (hashes, lists) cut to what a line can show. */
const shorten = (text: string): string => (text.length <= 48 ? text : `${text.slice(0, 45)}…`);

/** sha256 of the part's file of that kind, by which it is checked while it is read; undefined where it has none. */
export const digestOf = (
  { outputs }: Pick<Manifest, 'outputs'>,
  kind: ManifestOutput['kind'],
): string | undefined => outputs.find((output) => output.kind === kind)?.sha256;
