/** The tokens of single documents, out of a part's sequence file: record batches are searched, not read through. */

import type { SequenceFile } from '../../dataset/reader.js';
import type { RowEdges } from '../../dataset/recipe.js';
import { rowsOf, type SequenceBatch } from '../../dataset/sequence-batch.js';

/** [tokens] each, in document order, every token once. */
export interface DocumentTokens {
  readonly ids: Int32Array;
  readonly reference: Float32Array | null;
  readonly current: Float32Array | null;
  readonly weight: Float32Array | null;
  /** Whether these are all of the document's tokens. */
  readonly complete: boolean;
}

/** Reads documents of one part. Holds one record batch. */
export interface TokenFinder {
  /** The first `limit` tokens of a document; null where the part has no such document. */
  find(document: number, limit: number): Promise<DocumentTokens | null>;
}

export function tokenFinder(file: SequenceFile, { repeats }: RowEdges): TokenFinder {
  const firsts = new Map<number, bigint>();
  let held: { readonly index: number; readonly batch: SequenceBatch } | null = null;

  async function read(index: number): Promise<SequenceBatch> {
    if (held?.index !== index) held = { index, batch: await file.readBatch(index) };
    firsts.set(index, held.batch.segments.document[0] ?? -1n);
    return held.batch;
  }

  async function firstDocument(index: number): Promise<bigint> {
    const known = firsts.get(index);
    return known ?? (await read(index)).segments.document[0] ?? -1n;
  }

  return {
    async find(document, limit) {
      const wanted = BigInt(document);
      // The last batch that begins with an earlier document: documents never go back.
      let [low, high] = [0, file.batchCount];
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((await firstDocument(middle)) < wanted) low = middle + 1;
        else high = middle;
      }
      const gathered = gatherer(limit);
      for (let index = Math.max(0, low - 1); index < file.batchCount; index++) {
        if (gathered.add(await read(index), wanted, repeats)) break;
      }
      return gathered.result(file);
    },
  };
}

/** Collects a document's tokens from batch after batch; `add` says when there is nothing more to come. */
function gatherer(limit: number) {
  const ids: number[] = [];
  const values = { reference_loss: [] as number[], current_loss: [] as number[], weight: [] as number[] };
  let rows = 0;
  let more = false;

  return {
    add(batch: SequenceBatch, document: bigint, repeats: number): boolean {
      const { segments } = batch;
      for (let row = 0; row < rowsOf(batch); row++) {
        const last = segments.offsets[row + 1] ?? 0;
        for (let s = segments.offsets[row] ?? 0; s < last; s++) {
          const found = segments.document[s] ?? -1n;
          if (found > document) return true;
          if (found < document) continue;
          const start = (batch.offsets[row] ?? 0) + (segments.tokenStart[s] ?? 0);
          const end = start + (segments.tokenCount[s] ?? 0);
          for (let i = start + (rows++ === 0 ? 0 : repeats); i < end; i++) {
            more = ids.length >= limit;
            if (more) return true;
            ids.push(batch.inputIds[i] ?? 0);
            for (const name of COLUMNS) values[name].push(batch.columns[name]?.[i] ?? Number.NaN);
          }
        }
      }
      return false;
    },
    result({ columns }: SequenceFile): DocumentTokens | null {
      if (ids.length === 0) return null;
      const column = (name: (typeof COLUMNS)[number]): Float32Array | null =>
        columns.includes(name) ? Float32Array.from(values[name]) : null;
      return {
        ids: Int32Array.from(ids),
        reference: column('reference_loss'),
        current: column('current_loss'),
        weight: column('weight'),
        complete: !more,
      };
    },
  };
}

const COLUMNS = ['reference_loss', 'current_loss', 'weight'] as const;
