import { z } from 'zod';
import type { DataSetPart } from '../dataset/data-set.js';
import { openSequences } from '../dataset/finished-parts.js';
import type { SequenceFile } from '../dataset/reader.js';
import { neededFields, rowEdges, sequenceSection } from '../dataset/recipe.js';
import { rowsOf, type SequenceBatch } from '../dataset/sequence-batch.js';
import { openSource, type Source } from '../dataset/source.js';
import { targetsOf } from '../dataset/targets.js';
import { fatalError, usageError } from '../errors.js';
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';
import type { Storage } from '../storage/storage.js';
import { type ExportRows, sliceBatch } from './rows.js';
import { applyRules, fractionError, type WeightRules } from './weights.js';

/** A data set that is exported, and how its rows follow one another. */
export interface ExportSource extends Source {
  readonly packing: 'packed' | 'document';
  /** Ids that a row may repeat: 1 when packed, the overlap of a long document's windows else. */
  readonly repeats: number;
  /** What the files' metadata says of losses, rows and weights. */
  readonly conventions: JsonObject;
}

const packingFields = z.object({ sequence: sequenceSection.pick({ packing: true, overlap: true }) });

/**
 * Opens what `run` names: its weighted files if it has any, else the scored, else the packed ones; or such a folder.
 * @throws TokensieveError (usage) `not-exportable`, and as `openSource` throws
 */
export async function openExportSource(storage: Storage, run: string): Promise<ExportSource> {
  const source = await openSource(storage, run);
  const { folder, first, recipe } = source;
  const found = neededFields(recipe.rows, packingFields);
  if ('problem' in found) {
    throw usageError(
      'not-exportable',
      `${folder}: its manifests do not tell how rows were packed (recipe.sequence); score or pack the corpus again`,
    );
  }
  const { conventions } = (await openSequences(storage, first)).metadata;
  return {
    ...source,
    packing: found.fields.sequence.packing,
    repeats: rowEdges(recipe.rows).repeats,
    conventions: isJsonObject(conventions) ? conventions : {},
  };
}

/** Rows [rowStart, rowEnd) of a part. */
export interface PartSlice {
  readonly part: DataSetPart;
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
  const path = part.file;
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
      const applied = applyRules(weight ?? Float32Array.from(targetsOf(cut)), rules);
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
function createLink(
  { packing, repeats: most }: ExportSource,
  path: string,
): (batch: SequenceBatch) => Int32Array {
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
        ids: inputIds.slice(Math.max(start, end - most), end),
        document: segments.document[(segments.offsets[row + 1] ?? 1) - 1] ?? -1n,
      };
    }
    return repeats;
  };
}

export const changed = (path: string, what: string) =>
  fatalError('part-changed', `${path}: ${what}; run tokensieve verify on it, then make the part again`);
