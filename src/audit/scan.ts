import { domainAxes } from '../dataset/domains.js';
import { openSequences } from '../dataset/finished-parts.js';
import type { Manifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import { rowsOf, tokensOf } from '../dataset/sequence-batch.js';
import { inputError } from '../errors.js';
import type { EventSink } from '../parts/events.js';
import { type BatchTally, createBatchTally } from '../select/diagnosis/batch-tally.js';
import type { Storage } from '../storage/storage.js';
import type { AuditedRun } from './audited-run.js';
import { type ByDocument, createByDocument } from './by-document.js';
import { type ByToken, createByToken } from './by-token.js';
import { createDistributions, type Distributions } from './distributions.js';
import { createEligibleReader } from './eligible.js';
import type { Measured } from './group-sums.js';
import { createDoublingGroups, type DoublingGroups } from './named-groups.js';
import { shardSeed } from './place.js';
import { createRepeatedFinder, type RepeatedFinder } from './repeated/find-repeated.js';

export interface ScanOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
  readonly seed: number;
  /** Columns to group by; null: those that look like domains. */
  readonly by: readonly string[] | null;
}

/** What one pass over a run's sequence files gathers. */
export interface Scan {
  readonly measured: Measured;
  readonly sequences: number;
  readonly tokens: number;
  readonly eligible: number;
  readonly kept: number;
  readonly weightSum: number;
  readonly fileBytes: number;
  readonly distributions: Distributions;
  readonly byToken: ByToken;
  readonly byDocument: ByDocument;
  readonly positions: DoublingGroups;
  readonly repeated: RepeatedFinder;
  /** What the selection doctor judges by. */
  readonly evidence: ReturnType<BatchTally['evidence']>;
  /** Of the first file. */
  readonly conventions: unknown;
}

/**
 * Reads every sequence file once, one record batch in memory; what is kept beside it does not grow with the corpus
 * but for counters by token id (at most 2^20), by group (at most 100,000 names each) and by document of one part.
 * @throws TokensieveError (input) `bad-values`, `bad-segments`, `counts-differ`, `arrow-corrupt`, naming the file;
 *   (usage) `no-such-column`
 */
export async function scanRun(run: AuditedRun, options: ScanOptions): Promise<Scan> {
  const { storage, sink, signal } = options;
  const { parts } = run;
  const axes = domainAxes(await keptColumns(run), options.by);
  const byDocument = createByDocument(axes);
  const diagnosed = createBatchTally(axes.map(({ by }) => by));
  const distributions = createDistributions();
  const byToken = createByToken();
  const positions = createDoublingGroups();
  const repeated = createRepeatedFinder();
  let measured: Measured = { kept: run.kind === 'weighted', reference: false, current: false };
  let [sequences, tokens, eligible, kept, weightSum, fileBytes, serial] = [0, 0, 0, 0, 0, 0, 0];
  let conventions: unknown = null;
  let positionGroups = new Int32Array(0);
  sink({
    event: 'planned',
    shards: new Set(parts.map(({ manifest }) => manifest.shard)).size,
    parts: parts.length,
    done: 0,
    text_bytes: parts.reduce((sum, { manifest }) => sum + manifest.counts.text_bytes, 0),
    done_bytes: 0,
  });

  for (const [index, part] of parts.entries()) {
    const { manifest } = part;
    const path = partFiles(part.folder, manifest.shard, manifest.part).sequences;
    const file = await openSequences(storage, part);
    if (index === 0) conventions = file.metadata['conventions'] ?? null;
    fileBytes += file.bytes;
    measured = {
      kept: file.columns.includes('weight'),
      reference: file.columns.includes('reference_loss'),
      current: file.columns.includes('current_loss'),
    };
    const reader = createEligibleReader(file.columns);
    const seed = shardSeed(options.seed, manifest.shard);
    const found = { tokens: 0, eligible: 0, kept: 0 };
    let document = Number.NaN;
    await byDocument.begin(index, await run.documents(part));
    diagnosed.begin(manifest.shard, (row) => {
      const known = byDocument.known(row);
      return known === undefined
        ? null
        : { tokens: known.tokens, names: axes.map((axis) => axis.nameOf(known.columns)) };
    });
    let batchIndex = -1;
    for await (const batch of file.batches()) {
      signal.throwIfAborted();
      batchIndex++;
      const all = reader.take(batch, path);
      distributions.add(all);
      diagnosed.add(batch, batch.columns.weight);
      if (positionGroups.length < all.count) positionGroups = new Int32Array(all.count);
      for (let i = 0; i < all.count; i++) {
        positionGroups[i] = positions.groupOf(all.position[i] as number);
      }
      positions.sums.addEach(all, positionGroups, 0, all.count);
      for (const span of all.spans) {
        if (span.document !== document) serial++;
        document = span.document;
        const nth = byDocument.add(all, span, batchIndex);
        byToken.add(all, { ...span, nth, seed }, { part: index, batch: batchIndex });
        repeated.add(all, span.from, span.to, serial);
      }
      sequences += rowsOf(batch);
      found.tokens += tokensOf(batch);
      found.eligible += all.count;
      for (let i = 0; all.kept !== undefined && i < all.count; i++) found.kept += all.kept[i] as number;
      const { weight } = batch.columns;
      for (let i = 0; weight !== undefined && i < weight.length; i++) weightSum += weight[i] as number;
      const share = tokensOf(batch) / Math.max(1, manifest.counts.tokens);
      sink({
        event: 'progress',
        tokens: tokensOf(batch),
        text_bytes: Math.round(share * manifest.counts.text_bytes),
      });
    }
    diagnosed.end();
    byDocument.end(measured);
    checkCounts(path, manifest, found, measured.kept);
    tokens += found.tokens;
    eligible += found.eligible;
    kept += found.kept;
  }
  return {
    measured,
    sequences,
    tokens,
    eligible,
    kept,
    weightSum,
    fileBytes,
    distributions,
    byToken,
    byDocument,
    positions,
    repeated,
    evidence: diagnosed.evidence(),
    conventions,
  };
}

/** Columns of the first documents file: one recipe has one set of them. */
async function keptColumns(run: AuditedRun): Promise<readonly string[]> {
  for (const part of run.parts) {
    const documents = await run.documents(part);
    if (documents !== null) return documents.keep;
  }
  return [];
}

function checkCounts(
  path: string,
  { counts }: Manifest,
  found: { readonly tokens: number; readonly eligible: number; readonly kept: number },
  weighted: boolean,
): void {
  const checks = [
    ['tokens', found.tokens, counts.tokens],
    ['eligible tokens', found.eligible, counts.eligible],
    ['kept tokens', found.kept, weighted ? counts.kept : undefined],
  ] as const;
  for (const [what, here, said] of checks) {
    if (said === undefined || here === said) continue;
    throw inputError(
      'counts-differ',
      `${path}: has ${here} ${what}, its manifest says ${said}; run tokensieve verify, and make the part again`,
    );
  }
}
