import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { PreparedModel } from '#tokensieve/model/prepared-model.js';
import { sessionOptions } from '#tokensieve/model/session-options.js';

export interface RunRow {
  readonly ids: readonly number[];
  /** Lengths of the row's documents, for attention `within`. */
  readonly documents?: readonly number[];
}

export interface RunLosses {
  /** [length − 1] of each row. */
  readonly loss: Float32Array[];
  /** Empty without an `entropy` output. */
  readonly entropy: Float32Array[];
}

/**
 * Runs a prepared graph by ONNX Runtime itself, all rows as one batch padded on the right, and nothing of the
 * product's own batching. Padding is the last valid id: a graph that lets it in differs from the oracle.
 */
export async function runPrepared(prepared: PreparedModel, rows: readonly RunRow[]): Promise<RunLosses> {
  const session = await InferenceSession.create(
    prepared.graphPath,
    sessionOptions(prepared, { device: 'cpu', threads: 1 }),
  );
  try {
    const length = Math.max(...rows.map(({ ids }) => ids.length));
    const dims = [rows.length, length];
    const batch = (column: (row: RunRow) => readonly number[], padding: number): Tensor => {
      const data = new Int32Array(rows.length * length).fill(padding);
      for (const [r, row] of rows.entries()) data.set(column(row), r * length);
      return new Tensor('int32', data, dims);
    };
    const feeds: Record<string, Tensor> = {
      input_ids: batch(({ ids }) => ids, prepared.info.vocabularySize - 1),
    };
    if (session.inputNames.includes('document_ids')) {
      feeds['position_ids'] = batch(({ documents }) => documents!.flatMap((n) => [...Array(n).keys()]), 0);
      feeds['document_ids'] = batch(({ documents }) => documents!.flatMap((n, d) => Array(n).fill(d)), 99);
    }
    const results = await session.run(feeds);
    const split = (tensor: Tensor | undefined): Float32Array[] =>
      tensor === undefined
        ? []
        : rows.map(({ ids }, r) =>
            (tensor.data as Float32Array).slice(r * (length - 1), r * (length - 1) + ids.length - 1),
          );
    return { loss: split(results['loss']), entropy: split(results['entropy']) };
  } finally {
    await session.release();
  }
}
