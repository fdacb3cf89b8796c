import { createDocumentWriter, type DocumentRecord, textDigest } from '#tokensieve/dataset/documents.js';
import { fingerprintOf, type Manifest, stageManifest } from '#tokensieve/dataset/manifest.js';
import type { TokenColumn } from '#tokensieve/dataset/sequence-batch.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { type Row, writeRows } from './batches.js';

export const storage = localStorage();

export interface PartOptions {
  readonly shard?: string;
  readonly part?: number;
  readonly columns?: readonly TokenColumn[];
  readonly lossPrecision?: 'fp32' | 'fp16';
  /** Changes of the rows, the documents and the manifest before they are written. */
  readonly rows?: (rows: Row[]) => Row[];
  readonly documents?: (documents: DocumentRecord[]) => DocumentRecord[];
  readonly manifest?: (manifest: Manifest) => Manifest;
}

export const ROWS = 3;
const TOKENS = 8;
const TEXT_BYTES = 20;

/** Rows of two documents each: the end of one and the beginning of the next. */
export function partRows(columns: readonly TokenColumn[]): Row[] {
  return Array.from({ length: ROWS }, (_, row) => ({
    id: BigInt(row),
    ids: Array.from({ length: TOKENS }, (_, i) => row * 10 + i),
    columns: Object.fromEntries(
      columns.map((name) => [
        name,
        Array.from({ length: TOKENS }, (_, i) => {
          if (i === 0) return name === 'weight' ? 0 : Number.NaN;
          return name === 'weight' ? i % 2 : (row + i) / 4 + (name === 'current_loss' ? 1 : 0);
        }),
      ]),
    ),
    segments: [
      [BigInt(row), 0, 3, 10n, 20n],
      [BigInt(row + 1), 3, 5, 0n, 10n],
    ],
  }));
}

/** Writes one part of a data set, sound unless a change says otherwise. Returns the paths of its files. */
export async function writePart(folder: string, options: PartOptions = {}) {
  const { shard = 'a/x.parquet', part = 0, columns = ['reference_loss', 'current_loss'] } = options;
  const stem = `${folder}/${shard}/${String(part).padStart(5, '0')}`;
  const paths = {
    sequences: `${stem}.arrow`,
    documents: `${stem}.documents.arrow`,
    manifest: `${stem}.manifest.json`,
  };
  const identity = { name: shard, size: 1000, part };
  const recipe = { sequence: { length: TOKENS } };
  const fingerprint = fingerprintOf(recipe, identity);

  const rows = (options.rows ?? ((same) => same))(partRows(columns));
  const sequences = await writeRows(storage, paths.sequences, rows, {
    columns,
    lossPrecision: options.lossPrecision ?? 'fp32',
    compression: 'none',
    metadata: { fingerprint },
  });
  const sound = Array.from({ length: ROWS + 1 }, (_, row) => ({
    row,
    columns: { url: `u${row}` },
    textDigest: textDigest(String(row)),
    textBytes: TEXT_BYTES,
    tokens: TOKENS,
  }));
  const writer = await createDocumentWriter(storage, paths.documents, {
    keep: ['url'],
    compression: 'none',
    metadata: { fingerprint },
  });
  await writer.write((options.documents ?? ((same) => same))(sound));
  const documents = await writer.finish();
  await writer.commit();

  const { histograms, ...counts } = sequences.statistics;
  const name = (path: string) => path.slice(path.lastIndexOf('/') + 1);
  const manifest: Manifest = {
    version: 1,
    kind: columns.includes('weight') ? 'weighted' : 'scored',
    shard,
    part,
    input: { name: shard, size: 1000, row_start: 0, row_end: ROWS + 1, text_sha256: '0'.repeat(64) },
    fingerprint,
    recipe,
    counts: {
      documents: ROWS + 1,
      text_bytes: TEXT_BYTES * (ROWS + 1),
      quarantined_rows: 0,
      quarantined: {},
      ...counts,
    },
    histograms,
    outputs: [
      {
        kind: 'sequences',
        name: name(paths.sequences),
        bytes: sequences.bytes,
        sha256: sequences.sha256,
        rows: sequences.rows,
      },
      { kind: 'documents', name: name(paths.documents), ...documents },
    ],
  };
  const staged = await stageManifest(
    storage,
    paths.manifest,
    (options.manifest ?? ((same) => same))(manifest),
  );
  await staged.commit();
  return { ...paths, manifestData: manifest };
}
