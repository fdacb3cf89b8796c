/** One shard of an export: its rows read, checked, weighed and written, up to its commit. */
import { createHash } from 'node:crypto';
import type { DataSetPart } from '../dataset/data-set.js';
import { checkPartFile } from '../dataset/finished-parts.js';
import { digestOf, type Manifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import { TokensieveError } from '../errors.js';
import type { StagedPart } from '../parts/commit-part.js';
import type { MakingContext, Staging } from '../parts/parts-job.js';
import { joinPath } from '../storage/path.js';
import type { StagedFile, Storage } from '../storage/storage.js';
import type { ExportFormat, OutputFile, ShardContext } from './format.js';
import type { ExportManifest, ShardIdentity } from './manifest.js';
import type { PlannedShard } from './plan.js';
import { type ExportRows, rowCount } from './rows.js';
import { changed, type ExportSource, isWhole, readSlice } from './source.js';
import type { WeightRules } from './weights.js';

export interface Writing {
  readonly format: ExportFormat;
  readonly context: Omit<ShardContext, 'index' | 'create' | 'countIds' | 'signal'>;
  readonly rules: WeightRules;
  /** Sources whose bytes were found to be those of their manifests. */
  readonly sound: Set<Manifest>;
}

export async function writeShard(
  { index, slices }: PlannedShard,
  identity: ShardIdentity,
  { format, context, rules, sound }: Writing,
  { storage, sink, signal, staging }: MakingContext & { readonly staging: Staging },
): Promise<StagedPart<ExportManifest>> {
  const { out } = context.settings;
  const files: { readonly name: string; readonly staged: StagedFile; readonly digest: () => Digest }[] = [];
  const writer = await format.open({
    ...context,
    signal,
    index,
    async countIds() {
      let ids = 0;
      for (const slice of slices) {
        for await (const { inputIds, repeats } of readSlice(storage, context.source, slice, rules)) {
          signal.throwIfAborted();
          ids += inputIds.length - repeats.reduce((sum, repeated) => sum + repeated, 0);
        }
      }
      return ids;
    },
    create: async (file) => {
      const staged = staging(await storage.stage(joinPath(out, file)));
      const hashed = hashedFile(staged);
      files.push({ name: file, staged, digest: hashed.digest });
      return hashed.file;
    },
  });
  const laidOut = format.rowsOf?.(context.settings) ?? ((rows: ExportRows) => rows);
  const counts = { rows: 0, tokens: 0, kept: 0, weight_sum: 0 };
  for (const slice of slices) {
    const sliceKept = { kept: 0, tokens: 0 };
    const { manifest } = slice.part;
    // A whole part is hashed as it is read, and nothing is committed before its end. A part that is cut is read in pieces,
    // each of which may be committed: it is hashed before its first row is taken.
    const hashed = isWhole(slice) && !sound.has(manifest) ? digestOf(manifest, 'sequences') : undefined;
    if (hashed === undefined) await checkBytes(storage, slice.part, sound);
    try {
      for await (const read of readSlice(storage, context.source, slice, rules, hashed)) {
        signal.throwIfAborted();
        const rows = laidOut(read);
        const sums = sumWeights(rows.weights);
        counts.rows += rowCount(rows);
        counts.tokens += rows.inputIds.length;
        counts.kept += sums.kept;
        counts.weight_sum += sums.sum;
        sliceKept.kept += sums.kept;
        sliceKept.tokens += read.inputIds.length;
        await writer.write(rows);
        sink({ event: 'progress', tokens: read.inputIds.length, text_bytes: 0 });
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
  sink({ event: 'progress', tokens: 0, text_bytes: textBytes({ index, slices }) });
  const outputs = files.map(({ name, digest }) => ({ name, ...digest() }));
  return {
    manifest: { version: 1, kind: 'export', format: format.name, ...identity, counts, outputs },
    files: files.map(({ staged }) => staged),
  };
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
async function checkBytes(storage: Storage, part: DataSetPart, sound: Set<Manifest>): Promise<void> {
  const { manifest, folder } = part;
  if (sound.has(manifest)) return;
  const path = partFiles(folder, manifest.shard, manifest.part).sequences;
  await checkPartFile(storage, part, 'sequences').catch((error: unknown) => {
    if (!(error instanceof TokensieveError) || error.code !== 'part-damaged') throw error;
    throw changed(path, 'is not the file that its manifest tells of');
  });
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

/** Text of the rows, in proportion where a part is cut: bytes. */
export const textBytes = ({ slices }: PlannedShard): number =>
  slices.reduce(
    (sum, { part, rowStart, rowEnd }) =>
      sum + Math.round((part.manifest.counts.text_bytes * (rowEnd - rowStart)) / Math.max(1, part.rows)),
    0,
  );
