import type { Storage } from '../storage/storage.js';
import { readDocuments } from './documents.js';
import { explainDifference, type Manifest } from './manifest.js';
import { readSequences } from './reader.js';
import { rowsOf, type SequenceBatch, type TokenColumn } from './sequence-batch.js';
import { createStatistics } from './statistics.js';
import { type BadValue, findBadValue, whereIs } from './token-values.js';

/** UTF-8 bytes of each document's text, by its row in the shard. */
export type DocumentSizes = ReadonlyMap<bigint, number>;

type Wrong = (reason: string) => void;

/** Findings that one file may make before it is given up: a file that is all wrong says it only so often. */
const MAX_FINDINGS = 20;

/** Passes on the first few findings; `enough` tells when to stop looking. */
function limit(wrong: Wrong): { wrong: Wrong; enough: () => boolean } {
  let found = 0;
  return {
    wrong(reason) {
      found++;
      if (found <= MAX_FINDINGS) wrong(reason);
      if (found === MAX_FINDINGS)
        wrong(`more than ${MAX_FINDINGS} findings; the rest of the file was not read`);
    },
    enough: () => found >= MAX_FINDINGS,
  };
}

/** Checks a documents file against its manifest. Returns what the part's segments must fit. */
export async function checkDocuments(
  storage: Storage,
  path: string,
  manifest: Manifest,
  rows: number,
  report: Wrong,
): Promise<DocumentSizes> {
  const { wrong, enough } = limit(report);
  const { row_start: rowStart, row_end: rowEnd } = manifest.input;
  const file = await readDocuments(storage, path);
  checkFingerprint(file.metadata.fingerprint, manifest, wrong);
  const sizes = new Map<bigint, number>();
  let textBytes = 0;
  let last = -1;
  for await (const documents of file.batches()) {
    for (const document of documents) {
      if (document.row <= last) wrong(`row ${document.row} stands after row ${last}; expected rising rows`);
      if (document.row < rowStart || document.row >= rowEnd) {
        wrong(`row ${document.row} is outside the part's rows ${rowStart} to ${rowEnd - 1}`);
      }
      last = document.row;
      textBytes += document.textBytes;
      sizes.set(BigInt(document.row), document.textBytes);
      if (enough()) return sizes;
    }
  }
  compare(
    { rows, ...pick(manifest.counts, ['documents', 'text_bytes']) },
    { rows: sizes.size, documents: sizes.size, text_bytes: textBytes },
    wrong,
  );
  return sizes;
}

/** Checks a sequence file against its manifest and, where they are known, its documents. */
export async function checkSequences(
  storage: Storage,
  { path, manifest, rows }: { readonly path: string; readonly manifest: Manifest; readonly rows: number },
  documents: DocumentSizes | undefined,
  report: Wrong,
): Promise<{ sequences: number; tokens: number }> {
  const { wrong, enough } = limit(report);
  const file = await readSequences(storage, path);
  checkFingerprint(file.metadata.fingerprint, manifest, wrong);
  const unfit = unfitColumns(manifest.kind, file.columns);
  if (unfit !== undefined) wrong(`${unfit}; its manifest says ${manifest.kind}`);
  const statistics = createStatistics(file.columns);
  let nextId = 0n;
  for await (const batch of file.batches()) {
    const bad = findBadValue(batch) ?? (manifest.kind === 'packed' ? findPartialWeight(batch) : undefined);
    if (bad !== undefined) wrong(`${whereIs(batch, bad.token)}: ${bad.column} is ${bad.reason}`);
    for (let row = 0; row < rowsOf(batch) && !enough(); row++) {
      if (batch.sequenceIds[row] !== nextId)
        wrong(`sequence_id ${batch.sequenceIds[row]} stands at row ${nextId}`);
      const problem = segmentProblem(batch, row, documents);
      if (problem !== undefined) wrong(`row ${nextId}: ${problem}`);
      nextId++;
    }
    const negative = batch.inputIds.findIndex((id) => id < 0);
    if (negative >= 0) wrong(`${whereIs(batch, negative)}: token id ${batch.inputIds[negative]} is negative`);
    if (bad !== undefined || enough()) return { sequences: Number(nextId), tokens: 0 };
    statistics.add(batch);
  }
  const { histograms, ...found } = statistics.result();
  const { counts } = manifest;
  compare(
    {
      rows,
      ...pick(counts, ['sequences', 'tokens', 'eligible', 'kept', 'weight_sum']),
      histograms: manifest.histograms,
    },
    { rows: found.sequences, ...found, histograms },
    wrong,
  );
  return found;
}

/** What a file of this kind should not have, or lacks. */
function unfitColumns(kind: Manifest['kind'], columns: readonly TokenColumn[]): string | undefined {
  const weighted = columns.includes('weight');
  if (weighted !== (kind !== 'scored')) return `has ${weighted ? 'a' : 'no'} weight column`;
  const loss = columns.find((name) => name !== 'weight');
  return kind === 'packed' && loss !== undefined ? `has a column ${loss}` : undefined;
}

/** Packed files tell targets from other tokens and no more. */
function findPartialWeight({ columns }: SequenceBatch): BadValue | undefined {
  const { weight } = columns;
  const token = weight?.findIndex((value) => value !== 0 && value !== 1) ?? -1;
  return token < 0 ? undefined : { column: 'weight', token, reason: `${weight?.[token]}; expected 0 or 1` };
}

/** What is wrong with the segments of a row: they must cover it in order, within documents of the part. */
function segmentProblem(
  batch: SequenceBatch,
  row: number,
  documents: DocumentSizes | undefined,
): string | undefined {
  const { offsets, document, tokenStart, tokenCount, byteStart, byteEnd } = batch.segments;
  const length = (batch.offsets[row + 1] as number) - (batch.offsets[row] as number);
  let at = 0;
  for (let i = offsets[row] as number; i < (offsets[row + 1] as number); i++) {
    const count = tokenCount[i] as number;
    if (tokenStart[i] !== at || count <= 0) {
      return `a segment of ${count} tokens begins at position ${tokenStart[i]}; expected some from ${at} on`;
    }
    at += count;
    const bytes = `bytes ${byteStart[i]} to ${byteEnd[i]} of document ${document[i]}`;
    if ((byteStart[i] as bigint) < 0n || (byteStart[i] as bigint) > (byteEnd[i] as bigint))
      return `a segment covers ${bytes}`;
    const textBytes = documents?.get(document[i] as bigint);
    if (documents !== undefined && textBytes === undefined) {
      return `a segment is of document ${document[i]}, which the documents file does not have`;
    }
    if (textBytes !== undefined && (byteEnd[i] as bigint) > BigInt(textBytes)) {
      return `a segment covers ${bytes}, whose text has ${textBytes}`;
    }
  }
  return at === length ? undefined : `its segments cover ${at} of ${length} tokens`;
}

function checkFingerprint(found: unknown, manifest: Manifest, wrong: Wrong): void {
  if (typeof found === 'string' && found !== manifest.fingerprint) {
    wrong(`was written for fingerprint ${found}; its manifest says ${manifest.fingerprint}`);
  }
}

function pick<T extends object, K extends keyof T>(object: T, keys: readonly K[]): Partial<Pick<T, K>> {
  return Object.fromEntries(keys.map((key) => [key, object[key]])) as Partial<Pick<T, K>>;
}

function compare(manifest: object, file: object, wrong: Wrong): void {
  for (const line of explainDifference(manifest, file)) wrong(`manifest and file differ in ${line}`);
}
