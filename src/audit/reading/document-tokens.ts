/** The tokens of single documents, out of a part's sequence file: record batches are searched, not read through. */

import type { FinishedPart } from '../../dataset/finished-parts.js';
import type { SequenceFile } from '../../dataset/reader.js';
import { rowsOf, type SequenceBatch } from '../../dataset/sequence-batch.js';
import type { JsonObject } from '../../json/canonical-json.js';
import { isJsonObject } from '../../json/canonical-json.js';

/** [tokens] each, in document order, every token once. */
export interface DocumentTokens {
  readonly ids: Int32Array;
  readonly reference: Float32Array | null;
  readonly current: Float32Array | null;
  readonly weight: Float32Array | null;
  /** Whether these are all of the document's tokens. */
  readonly complete: boolean;
}

/** How the rows of a data set were made, as far as its recipe says. */
export interface RowRules {
  /** Ids at a row's start that the row before had: context of the same document. */
  readonly repeats: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
}

/** The recipe of the part's losses: a weighted part remembers the scored one's. */
const scoredRecipe = ({ manifest: { kind, recipe } }: FinishedPart) =>
  kind === 'weighted' ? objectAt(recipe, 'scored') : recipe;

/** How its text was read. */
export function textSettings(part: FinishedPart): {
  textColumn: string;
  maxTextBytes: number;
  maxPageBytes?: number;
} {
  const { text, max_text_bytes: most, max_page_bytes: page } = objectAt(scoredRecipe(part), 'corpus');
  return {
    textColumn: typeof text === 'string' ? text : 'text',
    maxTextBytes: typeof most === 'number' ? most : 64 << 20,
    ...(typeof page === 'number' && { maxPageBytes: page }),
  };
}

export function rowRules(part: FinishedPart): RowRules {
  const recipe = scoredRecipe(part);
  const sequence = objectAt(recipe, 'sequence');
  const tokenizer = objectAt(recipe, 'tokenizer');
  const id = (name: string): number | null => {
    const value = tokenizer[`${name}_id`];
    return sequence[name] !== false && typeof value === 'number' ? value : null;
  };
  const overlap = sequence['overlap'];
  return {
    repeats: sequence['packing'] === 'document' && typeof overlap === 'number' ? overlap : 1,
    bosId: id('bos'),
    eosId: id('eos'),
  };
}

/** The member of a JSON object that is an object itself; empty where there is none. */
function objectAt(parent: unknown, name: string): JsonObject {
  const value = isJsonObject(parent) ? parent[name] : undefined;
  return isJsonObject(value) ? value : {};
}

/** Reads documents of one part. Holds one record batch. */
export interface TokenFinder {
  /** The first `limit` tokens of a document; null where the part has no such document. */
  find(document: number, limit: number): Promise<DocumentTokens | null>;
}

export function tokenFinder(file: SequenceFile, rules: RowRules): TokenFinder {
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
        if (gathered.add(await read(index), wanted, rules.repeats)) break;
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
