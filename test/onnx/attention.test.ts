import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '#tokensieve/onnx/graph.js';
import {
  type AttentionForm,
  type AttentionShape,
  attentionContext,
  causalAttention,
  packedCausalAttention,
} from '#tokensieve/onnx/ops/attention.js';
import { normals } from '../support/checkpoints.js';
import { type Feed, runGraph } from '../support/run-graph.js';

interface Case {
  readonly form: AttentionForm;
  readonly shape: AttentionShape;
  readonly batch: number;
  readonly length: number;
  /** Document of each token [batch, length], or null: all see each other. */
  readonly documents: Int32Array | null;
}

interface Inputs {
  readonly query: Feed & { readonly data: Float32Array };
  readonly key: Feed & { readonly data: Float32Array };
  readonly value: Feed & { readonly data: Float32Array };
}

function randomInputs({ shape, batch, length }: Case): Inputs {
  const normal = normals(length + shape.headSize);
  const tensor = (heads: number) => {
    const dims = [batch, length, heads * shape.headSize];
    return { data: Float32Array.from({ length: batch * length * heads * shape.headSize }, normal), dims };
  };
  return { query: tensor(shape.heads), key: tensor(shape.kvHeads), value: tensor(shape.kvHeads) };
}

/** Attention by its definition, in float64, token by token. */
function slowAttention(
  { shape, batch, length, documents }: Case,
  { query, key, value }: Inputs,
): Float64Array {
  const { heads, kvHeads, headSize, window, scale } = shape;
  const out = new Float64Array(batch * length * heads * headSize);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor(head / (heads / kvHeads));
      const queryAt = (t: number): number => ((b * length + t) * heads + head) * headSize;
      const keyAt = (t: number): number => ((b * length + t) * kvHeads + kvHead) * headSize;
      for (let t = 0; t < length; t++) {
        const seen: number[] = [];
        for (let s = window === null ? 0 : Math.max(0, t - window + 1); s <= t; s++) {
          if (documents === null || documents[b * length + s] === documents[b * length + t]) seen.push(s);
        }
        const scores = seen.map((s) => {
          let dot = 0;
          for (let d = 0; d < headSize; d++) dot += query.data[queryAt(t) + d]! * key.data[keyAt(s) + d]!;
          return dot * scale;
        });
        const top = Math.max(...scores);
        const shares = scores.map((score) => Math.exp(score - top));
        const total = shares.reduce((a, b) => a + b, 0);
        seen.forEach((s, i) => {
          for (let d = 0; d < headSize; d++) {
            out[queryAt(t) + d]! += (shares[i]! / total) * value.data[keyAt(s) + d]!;
          }
        });
      }
    }
  }
  return out;
}

async function graphAttention(test: Case, inputs: Inputs, packed = false): Promise<Float32Array> {
  const { shape, batch, length, documents } = test;
  const g = new GraphBuilder('attention');
  const ids = g.input('ids', 'int32', ['batch', 'length']);
  const documentIds = documents === null ? null : g.input('documents', 'int32', ['batch', 'length']);
  const context = attentionContext(g, ids, documentIds, test.form);
  const { query, key, value } = inputs;
  const feeds: Record<string, Feed> = {
    ids: { data: new Int32Array(batch * length), dims: [batch, length] },
  };
  if (documents !== null) feeds['documents'] = { data: documents, dims: [batch, length] };
  const width = query.dims[2]!;
  let output: string;
  if (packed) {
    const all = g.input('packed', 'float32', ['batch', 'length', 3 * width]);
    feeds['packed'] = {
      data: interleave([query, key, value], batch * length),
      dims: [batch, length, 3 * width],
    };
    output = packedCausalAttention(g, all, shape, context);
  } else {
    const declare = (name: string, feed: Feed): string => {
      feeds[name] = feed;
      return g.input(name, 'float32', ['batch', 'length', feed.dims[2]!]);
    };
    output = causalAttention(
      g,
      { query: declare('q', query), key: declare('k', key), value: declare('v', value) },
      shape,
      context,
    );
  }
  g.output(output, 'out', 'float32', ['batch', 'length', width]);
  return (await runGraph(g.build(), feeds))['out']!.data;
}

function interleave(tensors: readonly Inputs['query'][], rows: number): Float32Array {
  const width = tensors[0]!.data.length / rows;
  const packed = new Float32Array(rows * width * tensors.length);
  tensors.forEach(({ data }, part) => {
    for (let row = 0; row < rows; row++) {
      packed.set(data.subarray(row * width, (row + 1) * width), (row * tensors.length + part) * width);
    }
  });
  return packed;
}

function farthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const gap = Math.abs(a[i]! - b[i]!);
    if (!(gap <= most)) most = gap;
  }
  return most;
}

/** Documents of 1, 2, 3, ... tokens, shifted from row to row. */
const documentsOf = (batch: number, length: number): Int32Array =>
  Int32Array.from({ length: batch * length }, (_, i) =>
    Math.floor(Math.sqrt(2 * ((i % length) + Math.floor(i / length)))),
  );

// Heads of 6 do not fit the fused operator. Of it, 255 tokens go as one square, 256 and more in blocks.
describe.each([
  ['fused', 8],
  ['fused', 6],
  ['plain', 8],
] as const)('%s attention with heads of %d', (form, headSize) => {
  describe.each([1, 2, 9, 255, 256, 300])('over %d tokens', (length) => {
    it.each([null, 1, 5, 40])('with window %s sees what it should', async (window) => {
      for (const documents of [null, documentsOf(2, length)]) {
        const shape = { heads: 4, kvHeads: 2, headSize, window, scale: 0.7 };
        const test = { form, shape, batch: 2, length, documents };
        const inputs = randomInputs(test);
        expect(farthest(await graphAttention(test, inputs), slowAttention(test, inputs))).toBeLessThan(5e-6);
      }
    });
  });

  it.each([7, 270])('takes query, key and value side by side, %d tokens', async (length) => {
    const shape = { heads: 3, kvHeads: 3, headSize, window: null, scale: 1 };
    const test = { form, shape, batch: 2, length, documents: null };
    const inputs = randomInputs(test);
    expect(await graphAttention(test, inputs, true)).toEqual(await graphAttention(test, inputs));
  });
});
