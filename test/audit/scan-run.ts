import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { createDocumentWriter } from '#tokensieve/dataset/documents.js';
import { fingerprintOf, type Manifest, stageManifest } from '#tokensieve/dataset/manifest.js';
import type { TokenColumn } from '#tokensieve/dataset/sequence-batch.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { type Row, writeRows } from '../dataset/batches.js';

export const storage = localStorage();

/** A document as a test makes it: [ids] each; NaN is no target. */
export interface Doc {
  readonly row: number;
  readonly ids: readonly number[];
  readonly reference: readonly number[];
  readonly current: readonly number[];
  readonly weight: readonly number[];
  readonly url: string | null;
  readonly topic: string | null;
}

export interface RunOptions {
  /** Index of the first document of each part but the first. */
  readonly cuts?: readonly number[];
  readonly columns?: readonly TokenColumn[];
  readonly weighted?: boolean;
  readonly lossPrecision?: 'fp32' | 'fp16';
  readonly tokenizerHash?: string;
  readonly quarantined?: Readonly<Record<string, number>>;
  /** Ids a row at most; a longer document goes on in further rows. */
  readonly rowIds?: number;
  readonly shard?: string;
  readonly rowsABatch?: number;
}

/** Draws from a seed, in [0, 1). */
export function draws(seed: number): () => number {
  let state = seed * 2 + 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
}

/** Documents whose losses are multiples of 1/64, so that sums are exact in any order; every id is below `ids`. */
export function makeDocs(count: number, seed = 1, ids = 600): Doc[] {
  const random = draws(seed);
  return Array.from({ length: count }, (_, row): Doc => {
    const length = 2 + Math.floor(random() ** 3 * 150);
    const tokens = Array.from({ length }, () => Math.floor(random() ** 3 * ids));
    const nats = () => Math.floor(random() ** 2 * 12 * 64) / 64;
    const target = tokens.map((_, i) => i > 0 && random() > 0.02);
    const reference = target.map((is) => (is ? nats() : Number.NaN));
    const current = target.map((is) => (is ? nats() : Number.NaN));
    const weight = target.map((is, i) => (is && current[i]! - reference[i]! > 0.5 ? 1 : 0));
    const host = `site${Math.floor(random() * 60)}.example`;
    return {
      row,
      ids: tokens,
      reference,
      current,
      weight,
      url: random() < 0.05 ? null : `https://www.${host}/page/${row}`,
      topic: random() < 0.3 ? null : `topic ${Math.floor(random() * 4)}`,
    };
  });
}

/** Whole documents side by side in rows of up to `rowIds` ids; a longer one in rows of its own. */
function rowsOf(docs: readonly Doc[], columns: readonly TokenColumn[], rowIds: number): Row[] {
  const rows: Row[] = [];
  let open: { doc: Doc; from: number; to: number }[] = [];
  const close = (): void => {
    if (open.length === 0) return;
    const of = (values: (doc: Doc) => readonly number[]): number[] =>
      open.flatMap(({ doc, from, to }) => values(doc).slice(from, to));
    let at = 0;
    rows.push({
      id: BigInt(rows.length),
      ids: of((doc) => doc.ids),
      columns: Object.fromEntries(
        columns.map((name) => [
          name,
          of((doc) =>
            name === 'weight' ? doc.weight : name.startsWith('reference') ? doc.reference : doc.current,
          ),
        ]),
      ),
      segments: open.map(({ doc, from, to }) => {
        const start = at;
        at += to - from;
        return [BigInt(doc.row), start, to - from, BigInt(from), BigInt(to)] as const;
      }),
    });
    open = [];
  };
  for (const doc of docs) {
    const used = open.reduce((sum, { from, to }) => sum + to - from, 0);
    if (used + doc.ids.length > rowIds) close();
    for (let from = 0; from < doc.ids.length; from += rowIds) {
      open.push({ doc, from, to: Math.min(doc.ids.length, from + rowIds) });
      if (from + rowIds < doc.ids.length) close();
    }
  }
  close();
  return rows;
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Writes the documents as a scoring run, and their weights beside it. Returns the run's output folder. */
export async function writeRun(out: string, docs: readonly Doc[], options: RunOptions = {}): Promise<string> {
  const { cuts = [], columns = ['reference_loss', 'current_loss'], weighted = true } = options;
  const { shard = 'a/x.parquet', rowIds = 64, lossPrecision = 'fp32', rowsABatch = 7 } = options;
  const scored = {
    tokenizer: { hash: options.tokenizerHash ?? hash('t'), control_tokens: 'text' },
    models: { reference: hash('r'), current: columns.includes('current_loss') ? hash('c') : null },
    sequence: { length: rowIds },
  };
  const ends = [...cuts, docs.length];
  for (const [part, end] of ends.entries()) {
    const own = docs.slice(part === 0 ? 0 : ends[part - 1], end);
    const kinds = weighted ? (['scored', 'weighted'] as const) : (['scored'] as const);
    for (const kind of kinds) {
      const recipe = kind === 'scored' ? scored : { scored, method: { name: 'test' } };
      const stem = `${join(out, kind, ...shard.split('/'))}/${String(part).padStart(5, '0')}`;
      const identity = { name: shard, size: 1000, part };
      const fingerprint = fingerprintOf(recipe, identity);
      const ownColumns: TokenColumn[] = kind === 'weighted' ? [...columns, 'weight'] : [...columns];
      const rows = rowsOf(own, ownColumns, rowIds);
      const sequences = await writeRows(
        storage,
        `${stem}.arrow`,
        rows,
        {
          columns: ownColumns,
          lossPrecision,
          compression: 'none',
          metadata: { fingerprint, conventions: { loss: 'nats' } },
        },
        rows.map((_, i) => i).filter((i) => i % rowsABatch === 0 && i > 0),
      );
      const outputs: Manifest['outputs'][number][] = [];
      const name = (path: string) => path.slice(path.lastIndexOf('/') + 1);
      outputs.push({
        kind: 'sequences',
        name: name(`${stem}.arrow`),
        bytes: sequences.bytes,
        sha256: sequences.sha256,
        rows: sequences.rows,
      });
      if (kind === 'scored') {
        const writer = await createDocumentWriter(storage, `${stem}.documents.arrow`, {
          keep: ['url', 'topic'],
          compression: 'none',
          metadata: { fingerprint },
        });
        await writer.write(
          own.map(({ row, ids, url, topic }) => ({
            row,
            columns: { url, topic },
            textDigest: new Uint8Array(16),
            textBytes: ids.length * 3,
            tokens: ids.length,
          })),
        );
        const documents = await writer.finish();
        await writer.commit();
        outputs.push({ kind: 'documents', name: name(`${stem}.documents.arrow`), ...documents });
      }
      const { histograms, ...counts } = sequences.statistics;
      const quarantined = part === 0 ? (options.quarantined ?? {}) : {};
      const manifest: Manifest = {
        version: 1,
        kind,
        shard,
        part,
        input: {
          name: shard,
          size: 1000,
          row_start: own[0]?.row ?? 0,
          row_end: (own.at(-1)?.row ?? -1) + 1,
          text_sha256: '0'.repeat(64),
        },
        fingerprint,
        recipe,
        counts: {
          documents: own.length,
          text_bytes: own.reduce((sum, { ids }) => sum + ids.length * 3, 0),
          quarantined_rows: Object.values(quarantined).reduce((sum, n) => sum + n, 0),
          quarantined,
          ...counts,
        },
        histograms,
        outputs,
      };
      await (await stageManifest(storage, `${stem}.manifest.json`, manifest)).commit();
    }
  }
  return out;
}
