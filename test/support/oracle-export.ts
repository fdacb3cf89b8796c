import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type TokenLosses, tokenLoss } from './oracle/oracle.js';

/** Runs an export as it is, with empty caches, and takes the losses from its logits in fp64. */
export async function lossesOfExport(path: string, ids: readonly number[]): Promise<TokenLosses> {
  const session = await InferenceSession.create(path, { intraOpNumThreads: 1 });
  const { integers, past } = cacheOf(session);
  const whole = (values: readonly number[]): Tensor =>
    integers === 'int32'
      ? new Tensor('int32', Int32Array.from(values), [1, ids.length])
      : new Tensor('int64', BigInt64Array.from(values, BigInt), [1, ids.length]);
  const feeds: Record<string, Tensor> = { ...past };
  const columns: Record<string, readonly number[]> = {
    input_ids: ids,
    attention_mask: ids.map(() => 1),
    position_ids: [...ids.keys()],
  };
  for (const name of session.inputNames) if (name in columns) feeds[name] = whole(columns[name]!);
  const { logits } = await session.run(feeds);
  await session.release();
  const width = logits!.dims[2]!;
  const row = (t: number): Float64Array =>
    Float64Array.from((logits!.data as Float32Array).subarray(t * width, (t + 1) * width));
  const tokens = ids.slice(1).map((id, t) => tokenLoss(row(t), id));
  return {
    loss: Float64Array.from(tokens, ({ loss }) => loss),
    entropy: Float64Array.from(tokens, ({ entropy }) => entropy),
  };
}

function cacheOf(session: InferenceSession): { integers: string; past: Record<string, Tensor> } {
  const past: Record<string, Tensor> = {};
  let integers = 'int64';
  for (const input of session.inputMetadata) {
    if (!input.isTensor) continue;
    if (input.name === 'input_ids') integers = input.type;
    if (!input.name.startsWith('past')) continue;
    // The last dimension of a genai cache is a name; its size is in genai_config.json: 16 in our exports.
    const batchAxis = input.shape.length - 4;
    const dims = input.shape.map((size, axis) =>
      axis === batchAxis ? 1 : axis === batchAxis + 2 ? 0 : typeof size === 'number' ? size : 16,
    );
    past[input.name] = new Tensor('float32', new Float32Array(0), dims);
  }
  return { integers, past };
}
