import { z } from 'zod';
import { openSequences } from '../dataset/finished-parts.js';
import { MANIFEST_SUFFIX, type Manifest } from '../dataset/manifest.js';
import { packedFolder, partFiles, scoredFolder, weightedFolder } from '../dataset/part-files.js';
import type { SequenceFile } from '../dataset/reader.js';
import { rowsOf, type SequenceBatch, type TokenColumn } from '../dataset/sequence-batch.js';
import { fatalError, usageError } from '../errors.js';
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';
import type { Storage } from '../storage/storage.js';
import { openSource, type Source, type SourcePart } from '../train/data/source.js';
import { type ExportRows, sliceBatch } from './rows.js';
import { applyRules, fractionError, type WeightRules } from './weights.js';

/** A folder of finished parts that is exported: every manifest read, one recipe, no tokens yet. */
export interface ExportSource extends Source {
  readonly folder: string;
  readonly kind: Manifest['kind'];
  readonly packing: 'packed' | 'document';
  /** Ids that a row may repeat: 1 when packed, the overlap of a long document's windows else. */
  readonly overlap: number;
  readonly losses: readonly Exclude<TokenColumn, 'weight'>[];
  /** The recipe of the parts, and that of scoring or packing in it. */
  readonly recipe: JsonObject;
  readonly rowsRecipe: JsonObject;
  /** What the files' metadata says of losses, rows and weights. */
  readonly conventions: JsonObject;
}

const packingSchema = z.object({
  sequence: z.object({ packing: z.enum(['packed', 'document']), overlap: z.int().min(1) }),
});

/**
 * Opens what `run` names: its weighted files if it has any, else the scored, else the packed ones; or such a folder.
 * @throws TokensieveError (usage) `no-parts`, `mixed-recipes`, `mixed-inputs`, `part-changed`, `not-exportable`, as
 *   for training
 */
export async function openExportSource(storage: Storage, run: string): Promise<ExportSource> {
  const folder = await folderOf(storage, run);
  const source = await openSource(storage, folder);
  const [first] = source.parts;
  const recipe = first?.manifest.recipe ?? {};
  const scored = recipe['scored'];
  const rowsRecipe = isJsonObject(scored) ? scored : recipe;
  const parsed = packingSchema.safeParse(rowsRecipe);
  if (first === undefined || !parsed.success) {
    throw usageError(
      'not-exportable',
      `${folder}: its manifests do not tell how rows were packed (recipe.sequence); score or pack the corpus again`,
    );
  }
  const { packing, overlap } = parsed.data.sequence;
  const { metadata } = await openSequences(storage, first);
  return {
    ...source,
    folder,
    kind: first.manifest.kind,
    packing,
    overlap: packing === 'packed' ? 1 : overlap,
    losses: source.columns.filter((name) => name !== 'weight'),
    recipe,
    rowsRecipe,
    conventions: isJsonObject(metadata['conventions']) ? metadata['conventions'] : {},
  };
}

async function folderOf(storage: Storage, run: string): Promise<string> {
  for (const folder of [weightedFolder(run), scoredFolder(run), packedFolder(run)]) {
    const paths = await storage.list(folder);
    if (paths.some((path) => path.endsWith(MANIFEST_SUFFIX))) return folder;
  }
  return run;
}

/** Rows [rowStart, rowEnd) of a part. */
export interface PartSlice {
  readonly part: SourcePart;
  readonly rowStart: number;
  readonly rowEnd: number;
}

export const isWhole = ({ part, rowStart, rowEnd }: PartSlice): boolean =>
  rowStart === 0 && rowEnd === part.rows;

/**
 * The rows of a slice in order, a record batch at a time, with weights under the rules: those of the file, or 1 for
 * every target where it has none.
 * @param sha256 that the file must have, of a whole part: found out at its end, on the way (`part-damaged`, input)
 * @throws TokensieveError (fatal) `part-changed` where rows are not those of the manifest, or do not continue one
 *   another as their recipe says; (usage) `fractional-weights`
 */
export async function* readSlice(
  storage: Storage,
  source: ExportSource,
  { part, rowStart, rowEnd }: PartSlice,
  rules: WeightRules,
  sha256?: string,
): AsyncGenerator<ExportRows> {
  const { shard, part: number } = part.manifest;
  const path = partFiles(part.folder, shard, number).sequences;
  const file = await openSequences(storage, part);
  const before = await batchBefore(file, rowStart);
  const link = createLink(source, path);
  let expected = before.firstRow;
  const batches = sha256 === undefined ? batchesFrom(file, before.index) : file.batches(sha256);
  for await (const batch of batches) {
    if (expected >= rowEnd && sha256 === undefined) break;
    const rows = rowsOf(batch);
    if (rows > 0 && Number(batch.sequenceIds[0]) !== expected) {
      throw changed(path, `row ${expected} is missing, ${batch.sequenceIds[0]} found`);
    }
    const from = Math.max(0, rowStart - expected);
    const to = Math.min(rows, rowEnd - expected);
    const repeats = link(batch);
    if (to > from) {
      const cut = sliceBatch(batch, from, to);
      const { weight, ...losses } = cut.columns;
      const applied = applyRules(weight ?? targetsOf(cut, source.targetColumn), rules);
      if ('fraction' in applied) {
        const row = cut.offsets.findLastIndex((start) => start <= applied.fraction);
        throw fractionError(
          `${path}: row ${cut.sequenceIds[row]}, position ${applied.fraction - (cut.offsets[row] ?? 0)}`,
          weight?.[applied.fraction] ?? null,
          rules.bitsOnly ?? '',
        );
      }
      yield {
        place: { shard, part: number },
        firstRow: expected + from,
        offsets: cut.offsets,
        inputIds: cut.inputIds,
        weights: applied.weights,
        columns: losses,
        segments: cut.segments,
        repeats: repeats.subarray(from, to),
      };
    }
    expected += rows;
  }
  if (expected < rowEnd) throw changed(path, `it ends before row ${expected}`);
}

async function* batchesFrom({ batchCount, readBatch }: SequenceFile, first: number) {
  for (let index = first; index < batchCount; index++) yield readBatch(index);
}

/** The record batch that holds the row before `row`, which tells what that row repeats. */
async function batchBefore(
  file: SequenceFile,
  row: number,
): Promise<{ readonly index: number; readonly firstRow: number }> {
  let found = { index: 0, firstRow: 0 };
  if (row === 0) return found;
  let [low, high] = [1, file.batchCount];
  while (low < high) {
    const middle = (low + high) >> 1;
    const first = Number((await file.readBatch(middle)).sequenceIds[0] ?? 0);
    if (first < row) {
      found = { index: middle, firstRow: first };
      low = middle + 1;
    } else high = middle;
  }
  return found;
}

/**
 * How many ids each row repeats of the one before, batch after batch. Packed rows repeat one; windows of a long
 * document repeat the overlap. The repeated ids are compared: a stream must not lose or double a token unseen.
 */
function createLink({ packing, overlap }: ExportSource, path: string): (batch: SequenceBatch) => Int32Array {
  /** The last ids of the row before, and the document of its last token; null before a part's first row. */
  let tail: { readonly ids: Int32Array; readonly document: bigint } | null = null;
  return (batch) => {
    const rows = rowsOf(batch);
    const { offsets, inputIds, segments } = batch;
    const repeats = new Int32Array(rows);
    for (let row = 0; row < rows; row++) {
      const [start, end] = [offsets[row] ?? 0, offsets[row + 1] ?? 0];
      const document = segments.document[segments.offsets[row] ?? 0] ?? -1n;
      const isNext: boolean =
        tail !== null &&
        Number(batch.sequenceIds[row]) > 0 &&
        (packing === 'packed' || document === tail.document);
      if (tail !== null && isNext) {
        const { ids } = tail;
        for (let i = 0; i < ids.length; i++) {
          if (inputIds[start + i] === ids[i]) continue;
          throw changed(
            path,
            `row ${batch.sequenceIds[row]} begins with other ids than the row before ends with (position ${i})`,
          );
        }
        repeats[row] = ids.length;
      }
      tail = {
        ids: inputIds.slice(Math.max(start, end - overlap), end),
        document: segments.document[(segments.offsets[row + 1] ?? 1) - 1] ?? -1n,
      };
    }
    return repeats;
  };
}

/** [tokens] 1 for a target, told by its loss. */
function targetsOf({ columns, inputIds }: SequenceBatch, column: TokenColumn): Float32Array {
  const losses = columns[column] ?? new Float32Array(inputIds.length);
  return losses.map((loss) => (Number.isNaN(loss) ? 0 : 1));
}

export const changed = (path: string, what: string) =>
  fatalError('part-changed', `${path}: ${what}; run tokensieve verify on it, then make the part again`);
