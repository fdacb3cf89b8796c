// A scored run without models: losses from a seed, several parts in two shards, documents beside them.
import { mkdir } from 'node:fs/promises';
import { createDocumentWriter, textDigest } from '../../dist/dataset/documents.js';
import { fingerprintOf, stageManifest } from '../../dist/dataset/manifest.js';
import { partFiles } from '../../dist/dataset/part-files.js';
import { createSequenceWriter } from '../../dist/dataset/writer.js';
import { localStorage } from '../../dist/storage/local.js';

const ROW = 2048;
const ROWS = 256;
/** Rows of two documents: the end of one and the beginning of the next. */
const CUT = 700;

/** Uniform in (0, 1), by mulberry32. */
function uniform(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32 + 2 ** -33;
  };
}

/** The current model loses what the reference does, times 0.8 to 1.4: correlated, as losses of a pair are. */
function rowsOf(firstRow, rows, random) {
  const tokens = rows * ROW;
  const inputIds = new Int32Array(tokens);
  const reference = new Float32Array(tokens);
  const current = new Float32Array(tokens);
  for (let i = 0; i < tokens; i++) {
    inputIds[i] = Math.floor(32_000 * random() ** 4);
    const loss = i % ROW === 0 ? Number.NaN : -2 * Math.log(random());
    reference[i] = loss;
    current[i] = loss * (0.8 + 0.6 * random());
  }
  const pairs = { length: 2 * rows };
  return {
    sequenceIds: BigInt64Array.from({ length: rows }, (_, r) => BigInt(firstRow + r)),
    offsets: Int32Array.from({ length: rows + 1 }, (_, r) => r * ROW),
    inputIds,
    columns: { reference_loss: reference, current_loss: current },
    segments: {
      offsets: Int32Array.from({ length: rows + 1 }, (_, r) => 2 * r),
      document: BigInt64Array.from(pairs, (_, s) => BigInt(firstRow + ((s + 1) >> 1))),
      tokenStart: Int32Array.from(pairs, (_, s) => (s & 1) * CUT),
      tokenCount: Int32Array.from(pairs, (_, s) => (s & 1 ? ROW - CUT : CUT)),
      byteStart: new BigInt64Array(2 * rows),
      byteEnd: new BigInt64Array(2 * rows).fill(4000n),
    },
  };
}

/**
 * Writes `run`/scored, the same bytes for the same arguments.
 * @param tokens rounded up to whole rows of 2,048 in each part
 */
export async function writeScoredRun(run, { tokens, parts = 8, seed = 1, compression = 'none' }) {
  const storage = localStorage();
  const folder = `${run}/scored`;
  const recipe = { sequence: { length: ROW }, score: { compression }, bench: { seed, tokens, parts } };
  const partRows = Math.ceil(tokens / parts / ROW);
  for (let part = 0; part < parts; part++) {
    const half = Math.ceil(parts / 2);
    const shard = part < half ? 'a/one.parquet' : 'b/two.parquet';
    await writePart(storage, partFiles(folder, shard, part % half), {
      shard,
      part: part % half,
      rows: partRows,
      random: uniform(seed * 1000 + part),
      recipe,
      compression,
    });
  }
}

async function writePart(storage, files, { shard, part, rows, random, recipe, compression }) {
  await mkdir(files.sequences.slice(0, files.sequences.lastIndexOf('/')), { recursive: true });
  const fingerprint = fingerprintOf(recipe, { name: shard, size: 1000, part });
  const writer = await createSequenceWriter(storage, files.sequences, {
    columns: ['reference_loss', 'current_loss'],
    lossPrecision: 'fp32',
    compression,
    metadata: { fingerprint },
  });
  for (let row = 0; row < rows; row += ROWS) {
    await writer.write(rowsOf(row, Math.min(ROWS, rows - row), random));
  }
  const sequences = await writer.finish();
  await writer.commit();
  const documents = await createDocumentWriter(storage, files.documents, {
    keep: ['url'],
    compression,
    metadata: { fingerprint },
  });
  for (let from = 0; from <= rows; from += 4096) {
    const length = Math.min(4096, rows + 1 - from);
    await documents.write(
      Array.from({ length }, (_, d) => ({
        row: from + d,
        columns: { url: `https://site-${(from + d) % 50}.example/page/${from + d}` },
        textDigest: textDigest(String(from + d)),
        textBytes: 4000,
        tokens: from + d === 0 ? CUT : from + d === rows ? ROW - CUT : ROW,
      })),
    );
  }
  const told = await documents.finish();
  await documents.commit();
  const { histograms, ...counts } = sequences.statistics;
  const name = (path) => path.slice(path.lastIndexOf('/') + 1);
  const manifest = {
    version: 1,
    kind: 'scored',
    shard,
    part,
    input: {
      name: shard,
      size: 1000,
      row_start: part * (rows + 1),
      row_end: (part + 1) * (rows + 1),
      text_sha256: '0'.repeat(64),
    },
    fingerprint,
    recipe,
    counts: {
      documents: rows + 1,
      text_bytes: 4000 * (rows + 1),
      quarantined_rows: 0,
      quarantined: {},
      ...counts,
    },
    histograms,
    outputs: [
      {
        kind: 'sequences',
        name: name(files.sequences),
        bytes: sequences.bytes,
        sha256: sequences.sha256,
        rows: sequences.rows,
      },
      { kind: 'documents', name: name(files.documents), ...told },
    ],
  };
  await (await stageManifest(storage, files.manifest, manifest)).commit();
}
