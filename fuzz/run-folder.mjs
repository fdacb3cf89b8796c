/** A small sound run, scored and weighted, as files in memory: what the run and Arrow targets start from. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { createDocumentWriter, textDigest } from '#tokensieve/dataset/documents.js';
import { fingerprintOf, stageManifest } from '#tokensieve/dataset/manifest.js';
import { partFiles } from '#tokensieve/dataset/part-files.js';
import { createSequenceWriter } from '#tokensieve/dataset/writer.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { workFolder } from './support.mjs';

const storage = localStorage();
const ROWS = 4;
const TOKENS = 8;

function batch(columns) {
  const tokens = ROWS * TOKENS;
  const ends = (count, step) => Int32Array.from({ length: count + 1 }, (_, i) => i * step);
  const value = (name, i) =>
    i % TOKENS === 0 ? (name === 'weight' ? 0 : Number.NaN) : name === 'weight' ? i % 2 : i / 8;
  return {
    sequenceIds: BigInt64Array.from({ length: ROWS }, (_, i) => BigInt(i)),
    offsets: ends(ROWS, TOKENS),
    inputIds: Int32Array.from({ length: tokens }, (_, i) => i % 30),
    columns: Object.fromEntries(
      columns.map((name) => [
        name,
        Float32Array.from(
          { length: tokens },
          (_, i) => value(name, i) + (name === 'current_loss' ? (i % 5) / 4 : 0),
        ),
      ]),
    ),
    segments: {
      offsets: ends(ROWS, 2),
      document: BigInt64Array.from({ length: 2 * ROWS }, (_, i) => BigInt((i + 1) >> 1)),
      tokenStart: Int32Array.from({ length: 2 * ROWS }, (_, i) => (i % 2) * 3),
      tokenCount: Int32Array.from({ length: 2 * ROWS }, (_, i) => (i % 2 ? 5 : 3)),
      byteStart: BigInt64Array.from({ length: 2 * ROWS }, (_, i) => (i % 2 ? 0n : 10n)),
      byteEnd: BigInt64Array.from({ length: 2 * ROWS }, (_, i) => (i % 2 ? 10n : 20n)),
    },
  };
}

async function writePart(out, kind, part, compression, lossPrecision) {
  const shard = 'web/x.parquet';
  const columns = ['reference_loss', 'current_loss', ...(kind === 'weighted' ? ['weight'] : [])];
  const scored = {
    tokenizer: { hash: 'a'.repeat(64), bos_id: 1, eos_id: 2, control_tokens: 'text' },
    models: { reference: 'b'.repeat(64), current: 'c'.repeat(64) },
    sequence: { length: TOKENS, attention: 'across', bos: true, eos: true },
  };
  const recipe =
    kind === 'weighted'
      ? { scored, method: { name: 'slm' }, conventions: { normaliser: 'sum-of-weights' } }
      : scored;
  const files = partFiles(join(out, kind), shard, part);
  const fingerprint = fingerprintOf(recipe, { name: shard, size: 1000, part });
  const writer = await createSequenceWriter(storage, files.sequences, {
    columns,
    lossPrecision,
    compression,
    metadata: { fingerprint, conventions: { loss: 'nats' } },
  });
  await writer.write(batch(columns));
  const sequences = await writer.finish();
  await writer.commit();
  const outputs = [
    {
      kind: 'sequences',
      name: files.sequences.split('/').at(-1),
      bytes: sequences.bytes,
      sha256: sequences.sha256,
      rows: sequences.rows,
    },
  ];
  if (kind === 'scored') {
    const documents = await createDocumentWriter(storage, files.documents, {
      keep: ['url', 'topic'],
      compression,
      metadata: { fingerprint },
    });
    await documents.write(
      Array.from({ length: ROWS + 1 }, (_, row) => ({
        row,
        columns: { url: `https://a${row}.org/`, topic: row % 2 ? null : 'x' },
        textDigest: textDigest(String(row)),
        textBytes: 20,
        tokens: TOKENS,
      })),
    );
    const { rows, bytes, sha256 } = await documents.finish();
    await documents.commit();
    outputs.push({ kind: 'documents', name: files.documents.split('/').at(-1), rows, bytes, sha256 });
  }
  const { histograms, ...counts } = sequences.statistics;
  const staged = await stageManifest(storage, files.manifest, {
    version: 1,
    kind,
    shard,
    part,
    fingerprint,
    recipe,
    histograms,
    outputs,
    input: { name: shard, size: 1000, row_start: 0, row_end: ROWS + 1, text_sha256: '0'.repeat(64) },
    counts: {
      documents: ROWS + 1,
      text_bytes: 20 * (ROWS + 1),
      quarantined_rows: 0,
      quarantined: {},
      ...counts,
    },
  });
  await staged.commit();
}

const seeds = new Map();
/** @returns files by name below the run's folder */
export async function runFiles(compression = 'none', lossPrecision = 'fp32') {
  const key = `${compression} ${lossPrecision}`;
  if (!seeds.has(key)) {
    const out = join(workFolder(), `run-${seeds.size}`);
    mkdirSync(out, { recursive: true });
    for (const kind of ['scored', 'weighted'])
      for (const part of [0, 1]) await writePart(out, kind, part, compression, lossPrecision);
    const files = readdirSync(out, { recursive: true })
      .map((name) => join(out, String(name)))
      .filter((path) => statSync(path).isFile())
      .sort();
    seeds.set(key, Object.fromEntries(files.map((path) => [relative(out, path), readFileSync(path)])));
    rmSync(out, { recursive: true });
  }
  return { ...seeds.get(key) };
}
