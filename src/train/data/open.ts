/** First version, to be replaced: rows in a shuffled order, one source. */
import { hashJson } from '../../dataset/canonical-json.js';
import { MANIFEST_SUFFIX, readManifest } from '../../dataset/manifest.js';
import { readSequences } from '../../dataset/reader.js';
import { usageError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';
import type { DataDescription, DataPosition, RowOrigin, StepBatch } from '../batch.js';
import type { TrainSettings } from '../settings.js';
import { randomOrder } from './order.js';

export interface TrainingData {
  readonly description: DataDescription;
  steps(from: DataPosition): AsyncIterable<{ batch: StepBatch; position: DataPosition }>;
}

interface Row {
  readonly ids: Int32Array;
  readonly eligible: Float32Array;
  readonly reference: Float32Array | null;
  readonly weight: Float32Array | null;
  readonly origin: RowOrigin;
}

export async function readRows(
  storage: Storage,
  folder: string,
): Promise<{ rows: Row[]; tokenizerHash: string; hash: string }> {
  const rows: Row[] = [];
  let tokenizerHash = '';
  const fingerprints: string[] = [];
  const paths: string[] = [];
  paths.push(...(await storage.list(folder)).filter((path) => path.endsWith(MANIFEST_SUFFIX)));
  for (const path of paths.sort()) {
    const manifest = await readManifest(storage, path);
    fingerprints.push(manifest.fingerprint);
    tokenizerHash = String((manifest.recipe['tokenizer'] as { hash?: string } | undefined)?.hash ?? '');
    const file = await readSequences(storage, path.replace(MANIFEST_SUFFIX, '.arrow'));
    for await (const batch of file.batches()) {
      for (let r = 0; r + 1 < batch.offsets.length; r++) {
        const [from, to] = [batch.offsets[r] ?? 0, batch.offsets[r + 1] ?? 0];
        const cut = (x: Float32Array | undefined): Float32Array | null => x?.slice(from, to) ?? null;
        const reference = cut(batch.columns.reference_loss);
        const losses = reference ?? cut(batch.columns.current_loss);
        const weight = cut(batch.columns.weight);
        rows.push({
          ids: batch.inputIds.slice(from, to),
          eligible:
            losses === null
              ? (weight ?? new Float32Array()).map((w) => (w > 0 ? 1 : 0))
              : losses.map((l) => (Number.isNaN(l) ? 0 : 1)),
          reference,
          weight,
          origin: {
            source: folder,
            shard: manifest.shard,
            part: manifest.part,
            sequenceId: batch.sequenceIds[r] ?? 0n,
            documents: [0n, 0n],
          },
        });
      }
    }
  }
  if (rows.length === 0)
    throw usageError(
      'no-parts',
      `${folder}: no finished parts; name a folder of scored, weighted or packed files`,
    );
  return { rows, tokenizerHash, hash: hashJson(fingerprints) };
}

export function batchOf(rows: readonly (Row | undefined)[], length: number): StepBatch {
  const count = rows.length * length;
  const has = (key: 'reference' | 'weight') => rows.every((row) => row === undefined || row[key] !== null);
  const ids = new Int32Array(count);
  const eligible = new Float32Array(count);
  const referenceLoss = has('reference') ? new Float32Array(count).fill(Number.NaN) : null;
  const weight = has('weight') ? new Float32Array(count) : null;
  rows.forEach((row, index) => {
    if (row === undefined) return;
    ids.set(row.ids, index * length);
    eligible.set(row.eligible, index * length);
    if (row.reference !== null) referenceLoss?.set(row.reference, index * length);
    if (row.weight !== null) weight?.set(row.weight, index * length);
  });
  return {
    ids,
    eligible,
    referenceLoss,
    weight,
    origins: rows.flatMap((row) => (row === undefined ? [] : [row.origin])),
  };
}

export async function openTrainingData(
  storage: Storage,
  settings: TrainSettings['data'],
  { rows: perMicro, accumulate }: Pick<TrainSettings['batch'], 'rows' | 'accumulate'>,
): Promise<TrainingData> {
  const sources = await Promise.all(settings.sources.map(({ path }) => readRows(storage, path)));
  const rows = sources.flatMap((source) => source.rows);
  const length = Math.max(...rows.map(({ ids }) => ids.length));
  const description: DataDescription = {
    length,
    attention: 'across',
    tokenizerHash: sources[0]?.tokenizerHash ?? '',
    hasReferenceLoss: rows.every(({ reference }) => reference !== null),
    hasWeights: rows.every(({ weight }) => weight !== null),
    normaliser: 'sum-of-weights',
    sources: settings.sources.map(({ path }, i) => ({ path, rows: sources[i]?.rows.length ?? 0, tokens: 0 })),
    hash: hashJson(sources.map(({ hash }) => hash)),
  };
  return {
    description,
    async *steps(from) {
      let at = from.rows;
      while (true) {
        const picked = Array.from({ length: perMicro * accumulate }, (_, i) => {
          const index = at + i;
          const epoch = Math.floor(index / rows.length);
          return rows[randomOrder(rows.length, settings.seed, epoch)[index % rows.length] ?? 0];
        });
        at += picked.length;
        yield { batch: batchOf(picked, length), position: { rows: at, sources: [at] } };
      }
    },
  };
}

export async function heldOutBatches(
  storage: Storage,
  folder: string,
  tokens: number,
  rows: number,
  length: number,
): Promise<StepBatch[]> {
  const all = (await readRows(storage, folder)).rows.slice(0, Math.max(1, Math.floor(tokens / length)));
  const batches: StepBatch[] = [];
  for (let at = 0; at < all.length; at += rows) {
    batches.push(
      batchOf(
        Array.from({ length: rows }, (_, i) => all[at + i]),
        length,
      ),
    );
  }
  return batches;
}
