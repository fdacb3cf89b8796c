import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '#tokensieve/onnx/graph.js';
import { groupWidth, logitLosses } from '#tokensieve/onnx/ops/cross-entropy.js';
import { linear } from '#tokensieve/onnx/ops/dense.js';
import { chunkBytes, chunkedLosses, chunkRows, unrolledLossHead } from '#tokensieve/onnx/ops/head.js';
import { normals } from '../support/checkpoints.js';
import { runGraph } from '../support/run-graph.js';

/** −ln p of the target and entropy of one row of logits, in float64. */
function slowLosses(logits: Float32Array, target: number): { loss: number; entropy: number } {
  const top = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const normaliser = top + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0));
  const entropy = logits.reduce((sum, logit) => sum - Math.exp(logit - normaliser) * (logit - normaliser), 0);
  return { loss: normaliser - logits[target]!, entropy };
}

async function graphLosses(logits: Float32Array, targets: Int32Array, vocabulary: number) {
  const g = new GraphBuilder('losses');
  const x = g.input('logits', 'float32', ['rows', vocabulary]);
  const ids = g.input('targets', 'int32', ['rows']);
  const { loss, entropy, greedy } = logitLosses(g, x, ids, {
    vocabularySize: vocabulary,
    entropy: true,
    greedy: true,
  });
  g.output(greedy ?? '', 'greedy', 'float32', ['rows']);
  g.output(loss, 'loss', 'float32', ['rows']);
  g.output(entropy ?? '', 'entropy', 'float32', ['rows']);
  const dims = [targets.length];
  return runGraph(g.build(), {
    logits: { data: logits, dims: [...dims, vocabulary] },
    targets: { data: targets, dims },
  });
}

describe('logitLosses', () => {
  // One group; groups of a divisor; groups with padding (a prime, and GPT-2's); the largest in use.
  it.each([2, 512, 2048, 2053, 32000, 50257, 151936])(
    'agrees with float64 within 5e-6 nats over %d logits, flat to peaked',
    async (vocabulary) => {
      const spreads = [0.1, 1, 3, 6];
      const normal = normals(vocabulary);
      const logits = Float32Array.from(
        { length: spreads.length * 2 * vocabulary },
        (_, i) => normal() * spreads[Math.floor(i / (2 * vocabulary))]!,
      );
      const rowOf = (row: number): Float32Array => logits.subarray(row * vocabulary, (row + 1) * vocabulary);
      // Even rows ask for the likeliest token, odd ones for the last of the vocabulary.
      const targets = Int32Array.from({ length: 2 * spreads.length }, (_, row) => {
        const logitsOfRow = rowOf(row);
        return row % 2 === 1
          ? vocabulary - 1
          : logitsOfRow.reduce((best, logit, id) => (logit > logitsOfRow[best]! ? id : best), 0);
      });
      const { loss, entropy, greedy } = await graphLosses(logits, targets, vocabulary);
      targets.forEach((target, row) => {
        const highest = rowOf(row).reduce((top, logit) => Math.max(top, logit), Number.NEGATIVE_INFINITY);
        expect(greedy!.data[row]).toBe(rowOf(row)[target] === highest ? 1 : 0);
        const slow = slowLosses(rowOf(row), target);
        expect(Math.abs(loss!.data[row]! - slow.loss)).toBeLessThan(5e-6);
        expect(Math.abs(entropy!.data[row]! - slow.entropy)).toBeLessThan(5e-6);
      });
    },
  );

  it('is exact where one token has all the probability', async () => {
    const vocabulary = 4096;
    const logits = new Float32Array(2 * vocabulary).fill(-40);
    logits[3000] = 60;
    logits[vocabulary + 3000] = 60;
    const { loss, entropy } = await graphLosses(logits, Int32Array.of(3000, 5), vocabulary);
    expect(loss!.data.map(Math.abs)).toEqual(Float32Array.of(0, 100));
    expect(Math.max(...entropy!.data.map(Math.abs))).toBeLessThan(1e-30);
  });

  it('groups every vocabulary into short chains', () => {
    for (const vocabulary of [1, 2048, 2049, 32000, 49152, 50257, 50304, 65537, 128256, 151936, 262144]) {
      const width = groupWidth(vocabulary);
      expect(width).toBeLessThanOrEqual(2048);
      expect(Math.ceil(vocabulary / width)).toBeLessThanOrEqual(1024);
    }
  });
});

describe('chunkedLosses', () => {
  const vocabulary = 37;
  const width = 5;
  const weight = Float32Array.from({ length: vocabulary * width }, normals(1));

  async function losses(batch: number, length: number, rows: number, threads = 1) {
    const g = new GraphBuilder('chunks');
    const hidden = g.input('hidden', 'float32', ['batch', 'length', width]);
    const ids = g.input('ids', 'int32', ['batch', 'length']);
    const matrix = g.float32s('weight', weight, [vocabulary, width]);
    const source = {
      width,
      type: 'float32',
      logits: (body: GraphBuilder, x: string) => linear(body, x, matrix, null),
    } as const;
    const { loss, entropy } = chunkedLosses(g, { states: hidden, ids }, source, vocabulary, {
      entropy: true,
      rowsPerChunk: rows,
    });
    g.output(loss, 'loss', 'float32', ['batch', 'targets']);
    g.output(entropy ?? '', 'entropy', 'float32', ['batch', 'targets']);
    const data = Float32Array.from({ length: batch * length * width }, normals(2));
    const tokens = Int32Array.from({ length: batch * length }, (_, i) => (i * 11) % vocabulary);
    const feeds = {
      hidden: { data, dims: [batch, length, width] },
      ids: { data: tokens, dims: [batch, length] },
    };
    const outputs = await runGraph(g.build(), feeds, threads);
    return { loss: outputs['loss'], entropy: outputs['entropy'], data, tokens };
  }

  it.each([
    [1, 2],
    [3, 2],
    [2, 8],
    [5, 13],
  ])('predicts tokens 1.. of %d rows of %d from the state before each', async (batch, length) => {
    const { loss, entropy, data, tokens } = await losses(batch, length, 4);
    expect(loss!.dims).toEqual([batch, length - 1]);
    expect(entropy!.dims).toEqual([batch, length - 1]);
    for (let b = 0; b < batch; b++) {
      for (let t = 0; t + 1 < length; t++) {
        const state = data.subarray((b * length + t) * width, (b * length + t + 1) * width);
        const logits = Float32Array.from({ length: vocabulary }, (_, id) =>
          state.reduce((sum, x, i) => sum + x * weight[id * width + i]!, 0),
        );
        const slow = slowLosses(logits, tokens[b * length + t + 1]!);
        expect(loss!.data[b * (length - 1) + t]).toBeCloseTo(slow.loss, 5);
        expect(entropy!.data[b * (length - 1) + t]).toBeCloseTo(slow.entropy, 5);
      }
    }
  });

  it('gives the same bits whatever the chunks and threads', async () => {
    const whole = await losses(3, 31, 1000);
    for (const rows of [1, 2, 7, 45, 89, 90]) {
      const chunked = await losses(3, 31, rows, 1 + (rows % 3));
      expect(chunked.loss!.data).toEqual(whole.loss!.data);
      expect(chunked.entropy!.data).toEqual(whole.entropy!.data);
    }
  });

  it('unrolled for one batch shape gives the losses of the loop, chunk by chunk', async () => {
    const [batch, length] = [3, 31];
    const looped = await losses(batch, length, 1000);
    for (const rows of [1, 7, 90, 1000]) {
      const g = new GraphBuilder('unrolled', { batch: { rows: batch, length }, opset: 23 });
      const hidden = g.input('hidden', 'float32', [batch, length, width]);
      const ids = g.input('ids', 'int32', [batch, length]);
      const head = { weight: g.float32s('weight', weight, [vocabulary, width]), bias: null };
      const sizes = { hiddenSize: width, vocabularySize: vocabulary };
      const made = unrolledLossHead(
        g,
        hidden,
        ids,
        { ...head, ...sizes },
        { entropy: true, greedy: true, rowsPerChunk: rows },
      );
      g.output(made.loss, 'loss', 'float32', [batch, length - 1]);
      g.output(made.entropy ?? '', 'entropy', 'float32', [batch, length - 1]);
      g.output(made.greedy ?? '', 'greedy', 'float32', [batch, length - 1]);
      const found = await runGraph(g.build(), {
        hidden: { data: looped.data, dims: [batch, length, width] },
        ids: { data: looped.tokens, dims: [batch, length] },
      });
      expect(found['loss']?.dims).toEqual([batch, length - 1]);
      for (const name of ['loss', 'entropy'] as const) {
        const far = found[name]!.data.map((value, i) => Math.abs(value - looped[name]!.data[i]!));
        expect(Math.max(...far), `${name}, ${rows} rows a chunk`).toBeLessThan(1e-6);
      }
      const greedy = Array.from({ length: batch * (length - 1) }, (_, i) => {
        const [b, t] = [Math.floor(i / (length - 1)), i % (length - 1)];
        const state = looped.data.subarray((b * length + t) * width, (b * length + t + 1) * width);
        const logits = Array.from({ length: vocabulary }, (_, id) =>
          state.reduce((sum, x, k) => sum + x * weight[id * width + k]!, 0),
        );
        return logits.indexOf(Math.max(...logits)) === looped.tokens[b * length + t + 1] ? 1 : 0;
      });
      expect([...found['greedy']!.data]).toEqual(greedy);
      expect(greedy.includes(1)).toBe(true);
    }
  });

  it('bounds the logits of a chunk, and never goes below one row', () => {
    for (const vocabularySize of [2, 512, 49152, 151936, 10 ** 6]) {
      const bytes = chunkRows(vocabularySize) * vocabularySize * 4;
      expect(bytes).toBeLessThanOrEqual(chunkBytes);
      expect(bytes).toBeGreaterThan(chunkBytes / 2);
    }
    expect(chunkRows(2 ** 30)).toBe(1);
  });
});
