import { createHash } from 'node:crypto';
import type { ExportSettings } from '../config/export.js';
import { canonicalJson, hashJson, type JsonObject } from '../dataset/canonical-json.js';
import { fileDigest } from '../dataset/file-digest.js';
import { digestOf, explainDifference, type Manifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import { firstLine, TokensieveError, usageError } from '../errors.js';
import type { EventSink } from '../run/events.js';
import { claimedSignal, claimFolder } from '../storage/folder-claim.js';
import { absolutePath, joinPath, normalPath } from '../storage/path.js';
import { sizesBelow } from '../storage/sizes.js';
import type { StagedFile, Storage } from '../storage/storage.js';
import type { SourcePart } from '../train/data/source.js';
import type { ExportCounts, ExportFormat, OutputFile, ShardContext } from './format.js';
import { formatNamed } from './formats.js';
import {
  EXPORT_INDEX,
  type ExportIndex,
  type ExportManifest,
  exportIndexSchema,
  exportManifestBytes,
  isBelow,
  manifestPath,
  readExportManifest,
  shardFingerprint,
  shardOfManifest,
} from './manifest.js';
import { type PlannedShard, planShards } from './plan.js';
import { rowCount } from './rows.js';
import { changed, type ExportSource, isWhole, openExportSource, readSlice } from './source.js';
import { sumCounts } from './verify.js';
import { fractionError, type WeightRules } from './weights.js';

export interface ExportOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
  /** Redo shards that were made with other settings or of other sources, instead of refusing. */
  readonly replace: boolean;
}

export interface ExportReport extends ExportCounts {
  readonly format: string;
  readonly folder: string;
  readonly shards: number;
  /** Shards that were done before. */
  readonly resumed: number;
  readonly bytes: number;
  readonly seconds: number;
}

/**
 * Writes a run's tokens in another trainer's format, shard by shard: a shard whose manifest is there is not made
 * again, and the same command after any stop leaves the bytes of an uninterrupted one. One record batch and what the
 * format gathers are in memory.
 * @throws TokensieveError (usage) `stale-shards`; `fractional-weights`; `out-is-input`; `folder-busy`; and as
 *   `openExportSource` throws
 */
export async function exportRun(settings: ExportSettings, given: ExportOptions): Promise<ExportReport> {
  const started = performance.now();
  const { storage, sink } = given;
  const { out } = settings;
  const format = formatNamed(settings.to);
  const source = await openExportSource(storage, settings.run);
  if ([source.folder, settings.run].some((path) => absolutePath(path) === absolutePath(out))) {
    throw usageError('out-is-input', `${out}: holds the files that are exported; choose another --out`);
  }
  const rules = { threshold: settings.threshold ?? null, bitsOnly: format.bitsOnly(settings) };
  refuseFractions(source, rules);
  const shards = planShards(
    source.parts,
    settings.shard_bytes,
    format.bytesPerToken(settings, source),
    format.cut,
  );
  const recipe = exportRecipe(settings, format, source);
  const expected = shards.map((shard) => expectedShard(shard, shards.length, recipe));
  const fingerprint = hashJson(expected.map((shard) => shard.fingerprint));
  const claim = await claimFolder(out, fingerprint, storage);
  const signal = claimedSignal(given.signal, claim);
  const options = { ...given, signal };
  try {
    await storage.sweep?.(out);
    const found = await finishedShards(options, out, expected);
    const textOf = (some: readonly PlannedShard[]): number =>
      some.reduce((sum, shard) => sum + textBytes(shard), 0);
    const pending = shards.filter(({ index }) => !found.has(index));
    sink({
      event: 'planned',
      shards: new Set(source.parts.map(({ manifest }) => manifest.shard)).size,
      parts: shards.length,
      done: found.size,
      text_bytes: textOf(shards),
      done_bytes: textOf(shards) - textOf(pending),
    });
    const manifests: ExportManifest[] = [];
    const context = { storage, settings, source, signal, shards: shards.length };
    const prepared = pending.length > 0 ? await format.prepare?.(context) : undefined;
    const writing = { format: prepared ?? format, context, rules, options, sound: new Set<Manifest>() };
    try {
      for (const shard of shards) {
        const done = found.get(shard.index);
        const identity = expected[shard.index];
        if (done !== undefined || identity === undefined) {
          if (done !== undefined) manifests.push(done);
          continue;
        }
        signal.throwIfAborted();
        manifests.push(await writeShard(shard, identity, writing));
      }
    } finally {
      await prepared?.close();
    }
    const counts = sumCounts(manifests);
    const described = format.describe({
      ...context,
      fingerprint,
      counts,
      outputs: manifests.flatMap(({ outputs, counts: { rows } }) =>
        outputs.map(({ name, bytes }) => ({ name, bytes, rows })),
      ),
    });
    const files = Object.entries(described).map(([name, text]) => ({
      name,
      content: Buffer.from(text, 'utf8'),
    }));
    const index: ExportIndex = {
      version: 1,
      kind: 'export-index',
      format: format.name,
      recipe,
      shards: shards.length,
      counts,
      described: files.map(({ name, content }) => ({
        name,
        bytes: content.length,
        sha256: createHash('sha256').update(content).digest('hex'),
      })),
    };
    for (const { name, content } of files) await commitBytes(storage, joinPath(out, name), content);
    await commitBytes(
      storage,
      joinPath(out, EXPORT_INDEX),
      Buffer.from(`${canonicalJson(exportIndexSchema.parse(index))}\n`),
    );
    // Before it is told as done: what a removed folder held went with it.
    await claim.check?.();
    return {
      ...counts,
      format: format.name,
      folder: out,
      shards: shards.length,
      resumed: found.size,
      bytes: manifests.reduce(
        (sum, { outputs }) => sum + outputs.reduce((all, { bytes }) => all + bytes, 0),
        0,
      ),
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await claim.release();
  }
}

/** Before anything is written: weights that do not sum to their number are not all 0 and 1. */
function refuseFractions({ parts, folder, kind }: ExportSource, { threshold, bitsOnly }: WeightRules): void {
  if (bitsOnly === null || threshold !== null || kind === 'scored') return;
  for (const { manifest } of parts) {
    const { kept, weight_sum } = manifest.counts;
    if (kept === undefined || weight_sum === undefined || kept === weight_sum) continue;
    throw fractionError(`${folder}: ${manifest.shard} part ${manifest.part}`, null, bitsOnly);
  }
}

/** What decides an export's bytes besides its sources. */
function exportRecipe(settings: ExportSettings, format: ExportFormat, source: ExportSource): JsonObject {
  const chosen = Object.fromEntries(
    (['shard_bytes', 'threshold', ...format.settings] as const).map((name) => [name, settings[name] ?? null]),
  );
  return {
    format: format.name,
    semantics: { exporting: 1, format: format.semantics },
    settings: chosen,
    source: { kind: source.kind, recipe: source.recipe },
  };
}

type ShardIdentity = Pick<ExportManifest, 'fingerprint' | 'recipe' | 'sources' | 'shard' | 'shards'>;

function expectedShard({ index, slices }: PlannedShard, shards: number, recipe: JsonObject): ShardIdentity {
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

const textBytes = ({ slices }: PlannedShard): number =>
  slices.reduce(
    (sum, { part, rowStart, rowEnd }) =>
      sum + Math.round((part.manifest.counts.text_bytes * (rowEnd - rowStart)) / Math.max(1, part.rows)),
    0,
  );

/**
 * The shards that are done, by number. Manifests of other settings or sources, and of shards beyond the last, are
 * refused, or removed with what they name.
 */
async function finishedShards(
  { storage, sink, replace }: Pick<ExportOptions, 'storage' | 'sink' | 'replace'>,
  out: string,
  expected: readonly ShardIdentity[],
): Promise<Map<number, ExportManifest>> {
  const found = await sizesBelow(storage, out);
  const sizes = new Map([...found].map(([path, size]) => [normalPath(path), size]));
  const done = new Map<number, ExportManifest>();
  const stale: { readonly path: string; readonly manifest: ExportManifest | null }[] = [];
  for (const path of await storage.list(joinPath(out, 'manifests'), { shallow: true })) {
    const index = shardOfManifest(out, path);
    if (index === null) continue;
    const wanted = expected[index];
    let manifest: ExportManifest | null = null;
    let why: readonly string[];
    try {
      manifest = await readExportManifest(storage, path);
      if (wanted !== undefined && manifest.fingerprint === wanted.fingerprint) {
        const lost = manifest.outputs.find(({ name, bytes }) => sizes.get(joinPath(out, name)) !== bytes);
        if (lost === undefined) done.set(index, manifest);
        else {
          const message = `${joinPath(out, lost.name)}: is missing, or not of the ${lost.bytes} bytes that its manifest says; its shard is written again`;
          sink({ event: 'warning', message });
        }
        continue;
      }
      why = differences(manifest, wanted);
    } catch (error) {
      if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
      why = [`manifest unreadable: ${firstLine(error)}`];
    }
    if (!replace) {
      throw usageError(
        'stale-shards',
        `${path}: made otherwise (${why.slice(0, 4).join('; ')}); choose another --out, or redo the export with --replace`,
      );
    }
    stale.push({ path, manifest });
  }
  for (const { path, manifest } of stale) {
    // The manifest first: from then on the shard is not done, whatever happens to its data.
    await storage.remove(path);
    for (const { name } of manifest?.outputs ?? [])
      if (isBelow(name)) await storage.remove(joinPath(out, name));
  }
  return done;
}

function differences(found: ExportManifest, wanted: ShardIdentity | undefined): readonly string[] {
  if (wanted === undefined) return ['the export has fewer shards now'];
  const why = [
    ...explainDifference(found.recipe, wanted.recipe),
    ...explainDifference(
      { shards: found.shards, sources: found.sources },
      { shards: wanted.shards, sources: wanted.sources },
    ),
  ];
  return why.length > 0 ? why : ['fingerprint'];
}

interface Writing {
  readonly format: ExportFormat;
  readonly context: Omit<ShardContext, 'index' | 'create'>;
  readonly rules: WeightRules;
  readonly options: ExportOptions;
  /** Sources whose bytes were found to be those of their manifests. */
  readonly sound: Set<Manifest>;
}

async function writeShard(
  { index, slices }: PlannedShard,
  identity: ShardIdentity,
  { format, context, rules, options: { storage, sink, signal }, sound }: Writing,
): Promise<ExportManifest> {
  const { out } = context.settings;
  const files: { readonly name: string; readonly staged: StagedFile; readonly digest: () => Digest }[] = [];
  const started = performance.now();
  const name = identity.sources[0]?.shard ?? '';
  sink({ event: 'part-started', shard: name, part: index });
  try {
    const writer = await format.open({
      ...context,
      index,
      create: async (file) => {
        const staged = await storage.stage(joinPath(out, file));
        const hashed = hashedFile(staged);
        files.push({ name: file, staged, digest: hashed.digest });
        return hashed.file;
      },
    });
    const counts = { rows: 0, tokens: 0, kept: 0, weight_sum: 0 };
    for (const slice of slices) {
      const sliceKept = { kept: 0, tokens: 0 };
      const { manifest } = slice.part;
      // A whole part is hashed as it is read, and nothing is committed before its end. A part that is cut is read in pieces,
      // each of which may be committed: it is hashed before its first row is taken.
      const hashed = isWhole(slice) && !sound.has(manifest) ? digestOf(manifest, 'sequences') : undefined;
      if (hashed === undefined) await checkBytes(storage, slice.part, sound);
      try {
        for await (const rows of readSlice(storage, context.source, slice, rules, hashed)) {
          signal.throwIfAborted();
          const sums = sumWeights(rows.weights);
          counts.rows += rowCount(rows);
          counts.tokens += rows.inputIds.length;
          counts.kept += sums.kept;
          counts.weight_sum += sums.sum;
          sliceKept.kept += sums.kept;
          sliceKept.tokens += rows.inputIds.length;
          await writer.write(rows);
          sink({ event: 'progress', tokens: rows.inputIds.length, text_bytes: 0 });
        }
        checkPart(slice, sliceKept, context.source, rules);
      } catch (error) {
        // Damaged bytes read as wrong rows, ids and weights: that they are damaged is what is wrong with them.
        if (error instanceof TokensieveError) await checkBytes(storage, slice.part, sound);
        throw error;
      }
      sound.add(manifest);
    }
    await writer.finish();
    const manifest: ExportManifest = {
      version: 1,
      kind: 'export',
      format: format.name,
      ...identity,
      counts,
      outputs: files.map((file) => ({ name: file.name, ...file.digest() })),
    };
    await storage.remove(manifestPath(out, index));
    for (const { staged } of files) await staged.commit();
    sink({ event: 'data-committed', shard: name, part: index });
    await commitBytes(storage, manifestPath(out, index), exportManifestBytes(manifest));
    sink({ event: 'progress', tokens: 0, text_bytes: textBytes({ index, slices }) });
    const seconds = (performance.now() - started) / 1000;
    sink({ event: 'part-done', shard: name, part: index, tokens: counts.tokens, documents: 0, seconds });
    return manifest;
  } catch (error) {
    for (const { staged } of files) await staged.abort();
    throw error;
  }
}

/** A part that was read whole must have the tokens that its manifest counts. */
function checkPart(
  slice: PlannedShard['slices'][number],
  found: { readonly kept: number; readonly tokens: number },
  { kind }: ExportSource,
  { threshold }: WeightRules,
): void {
  if (!isWhole(slice)) return;
  const { part } = slice;
  const { counts, shard, part: number } = part.manifest;
  const kept = threshold !== null ? undefined : kind === 'scored' ? counts.eligible : counts.kept;
  if (found.tokens === counts.tokens && (kept === undefined || kept === found.kept)) return;
  throw changed(
    partFiles(part.folder, shard, number).sequences,
    `has ${found.tokens} tokens, ${found.kept} of them kept; its manifest says ${counts.tokens} and ${kept ?? found.kept}`,
  );
}

/** Flipped bits are weights and losses like others, and nothing downstream would tell: every part's file is hashed. */
async function checkBytes(storage: Storage, part: SourcePart, sound: Set<Manifest>): Promise<void> {
  const { manifest, folder } = part;
  if (sound.has(manifest)) return;
  const path = partFiles(folder, manifest.shard, manifest.part).sequences;
  const { size } = await storage.stat(path);
  if ((await fileDigest(storage, path, size)) !== digestOf(manifest, 'sequences')) {
    throw changed(path, 'is not the file that its manifest tells of');
  }
  sound.add(manifest);
}

type Digest = Omit<ExportManifest['outputs'][number], 'name'>;

function hashedFile(staged: StagedFile): { readonly file: OutputFile; readonly digest: () => Digest } {
  const hash = createHash('sha256');
  let bytes = 0;
  return {
    file: {
      get bytes() {
        return bytes;
      },
      async write(chunk) {
        hash.update(chunk);
        bytes += chunk.length;
        await staged.write(chunk);
      },
    },
    digest: () => ({ bytes, sha256: hash.digest('hex') }),
  };
}

function sumWeights(weights: Float32Array): { readonly kept: number; readonly sum: number } {
  let [kept, sum] = [0, 0];
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] as number;
    if (weight > 0) kept++;
    sum += weight;
  }
  return { kept, sum };
}

async function commitBytes(storage: Storage, path: string, bytes: Uint8Array): Promise<void> {
  const file = await storage.stage(path);
  try {
    await file.write(bytes);
    await file.commit();
  } catch (error) {
    await file.abort();
    throw error;
  }
}
