import { fingerprintOf, type Manifest, stageManifest } from '#tokensieve/dataset/manifest.js';
import { partFiles } from '#tokensieve/dataset/part-files.js';
import type { TokenColumn } from '#tokensieve/dataset/sequence-batch.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { partManifest } from '../../../fixtures/part-manifest.mjs';
import { type Row, writeRows } from '../../dataset/batches.js';

export const storage = localStorage();

export interface FolderOptions {
  readonly kind?: Manifest['kind'];
  readonly columns?: readonly TokenColumn[];
  /** Changes of the recipe's two sections that training goes by. */
  readonly tokenizer?: object;
  readonly sequence?: object;
  readonly normaliser?: string;
  readonly rows?: (rows: Row[], part: number) => Row[];
  readonly manifest?: (manifest: Manifest, part: number) => Manifest;
}

/** Longest row that the recipes of these folders allow. */
export const LENGTH = 8;

/** Ids tell where a row stands: part · 10 000 + row · 10 + position. */
export const idOf = (part: number, row: number, position: number): number =>
  part * 10_000 + row * 10 + position;

/** A row of two documents. Position 0 is no target; every third weight is 0. */
function rowOf(
  part: number,
  row: number,
  length: number,
  columns: readonly TokenColumn[],
  packed: boolean,
): Row {
  const cut = Math.min(3, length);
  const values = (name: TokenColumn) =>
    Array.from({ length }, (_, i) => {
      if (i === 0) return name === 'weight' ? 0 : Number.NaN;
      if (name === 'weight') return packed ? 1 : (row + i) % 3 === 0 ? 0 : 1;
      return (row + i) / 4 + (name === 'current_loss' ? 1 : 0);
    });
  const segments = [
    [BigInt(row), 0, cut, 0n, 1n],
    [BigInt(row + 1), cut, length - cut, 0n, 1n],
  ] as const;
  return {
    id: BigInt(row),
    ids: Array.from({ length }, (_, i) => idOf(part, row, i)),
    columns: Object.fromEntries(columns.map((name) => [name, values(name)])),
    segments: segments.filter(([, , count]) => count > 0),
  };
}

/** Writes a data set of one shard; `parts` are the lengths of each part's rows. */
export async function writeFolder(
  folder: string,
  parts: readonly (readonly number[])[],
  options: FolderOptions = {},
): Promise<string> {
  const { kind = 'scored', columns = kind === 'packed' ? ['weight'] : ['reference_loss', 'current_loss'] } =
    options;
  const rowRecipe = {
    tokenizer: { hash: 'a'.repeat(64), bos_id: 1, eos_id: 2, ...options.tokenizer },
    sequence: { length: LENGTH, attention: 'across', bos: true, eos: true, ...options.sequence },
  };
  const conventions = options.normaliser === undefined ? {} : { normaliser: options.normaliser };
  const recipe = kind === 'weighted' ? { scored: rowRecipe, conventions } : rowRecipe;
  for (const [part, lengths] of parts.entries()) {
    const shard = 'web/x.parquet';
    const files = partFiles(folder, shard, part);
    const fingerprint = fingerprintOf(recipe, { name: shard, size: 1000, part });
    const sound = lengths.map((length, row) => rowOf(part, row, length, columns, kind === 'packed'));
    const written = await writeRows(storage, files.sequences, options.rows?.(sound, part) ?? sound, {
      columns,
      lossPrecision: 'fp32',
      compression: 'none',
      metadata: { fingerprint },
    });
    const manifest: Manifest = partManifest(
      { kind, shard, part, fingerprint, recipe, input: { name: shard, size: 1000 } },
      files.sequences,
      written,
    );
    const staged = await stageManifest(
      storage,
      files.manifest,
      options.manifest?.(manifest, part) ?? manifest,
    );
    await staged.commit();
  }
  return folder;
}
