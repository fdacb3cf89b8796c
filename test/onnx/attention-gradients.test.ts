import { describe, it } from 'vitest';
import {
  type AttentionForm,
  attentionContext,
  causalAttention,
  packedCausalAttention,
} from '#tokensieve/onnx/ops/attention.js';
import { expectGradients, type OpCase } from '../support/gradients/check.js';
import { type AttentionNumbers, attention, packedAttention } from '../support/gradients/forwards.js';
import { randomTensor } from '../support/gradients/tensors.js';

interface Case {
  readonly form: AttentionForm;
  readonly numbers: AttentionNumbers;
  readonly batch: number;
  readonly length: number;
  /** Several documents a row, which do not see each other. */
  readonly apart: boolean;
  /** T is known when the graph is built. */
  readonly fixed: boolean;
}

/** Documents of 1, 2, 3, ... tokens, shifted from row to row. */
const documentsOf = (batch: number, length: number): Int32Array =>
  Int32Array.from({ length: batch * length }, (_, i) =>
    Math.floor(Math.sqrt(2 * ((i % length) + Math.floor(i / length)))),
  );

function opCase({ form, numbers, batch, length, apart, fixed }: Case, packed: boolean): OpCase {
  const dims = [batch, length];
  const documents = apart ? documentsOf(batch, length) : null;
  const { heads, kvHeads, headSize } = numbers;
  const widths = [heads, kvHeads, kvHeads].map((count) => count * headSize);
  const tensors = widths.map((width, index) => randomTensor([batch, length, width], length + index));
  const total = widths.reduce((a, b) => a + b, 0);
  return {
    forward: packed ? packedAttention(numbers, documents) : attention(numbers, documents),
    inputs: packed ? [randomTensor([batch, length, total], length)] : tensors,
    integers: {
      ids: { data: new Int32Array(batch * length), dims },
      ...(documents === null ? {} : { documents: { data: documents, dims } }),
    },
    build: (g, inputs, { ids = '', documents: given = null }) => {
      const context = attentionContext(g, ids, given, form, fixed ? length : null);
      const [first = '', second = '', third = ''] = inputs;
      return packed
        ? [packedCausalAttention(g, first, numbers, context)]
        : [causalAttention(g, { query: first, key: second, value: third }, numbers, context)];
    },
  };
}

const numbersOf = (headSize: number, window: number | null): AttentionNumbers => ({
  heads: 4,
  kvHeads: 2,
  headSize,
  window,
  scale: 0.6,
});

// Heads of 6 and 10 do not fit the fused operator.
describe.each([
  ['fused', 8],
  ['fused', 16],
  ['fused', 6],
  ['plain', 8],
  ['plain', 10],
] as const)('gradients of %s attention with heads of %d', (form, headSize) => {
  it.each([
    [1, null, false],
    [8, null, false],
    [8, 3, true],
    [31, null, true],
    [31, 1, false],
    [31, 12, false],
  ])('%d tokens, window %s, documents apart %s', async (length, window, apart) => {
    const numbers = numbersOf(headSize, window);
    await expectGradients(opCase({ form, numbers, batch: 2, length, apart, fixed: true }, false));
  });

  it('one key-value head, as many as query heads, and query, key and value side by side', async () => {
    for (const [heads, kvHeads] of [
      [3, 1],
      [3, 3],
      [1, 1],
    ] as const) {
      const numbers = { heads, kvHeads, headSize, window: null, scale: 1 / Math.sqrt(headSize) };
      const test = { form, numbers, batch: 3, length: 13, apart: false, fixed: true };
      await expectGradients(opCase(test, false));
      await expectGradients(opCase(test, true));
    }
  });
});

// From 256 tokens on both go by blocks where the length is known; up to 512 the forward's shares are kept for the gradient.
describe.each([
  ['fused', 8],
  ['plain', 6],
] as const)('gradients of long rows, %s attention with heads of %d', (form, headSize) => {
  it.each([
    [255, null, false, true],
    [256, null, false, true],
    [256, null, true, true],
    [261, 40, false, true],
    [301, 200, true, true],
    [256, null, false, false],
  ])('%d tokens, window %s, documents apart %s, length known %s', async (length, window, apart, fixed) => {
    const numbers = { heads: 2, kvHeads: 1, headSize, window, scale: 0.6 };
    const samples = 70;
    await expectGradients({
      ...opCase({ form, numbers, batch: 1, length, apart, fixed }, false),
      samples,
    });
  });

  it('513 tokens, whose shares are computed again', async () => {
    const numbers = { heads: 1, kvHeads: 1, headSize, window: null, scale: 0.6 };
    const test = { form, numbers, batch: 1, length: 513, apart: false, fixed: true };
    await expectGradients({ ...opCase(test, false), samples: 12 });
  });

  it('261 tokens of two rows on two threads', async () => {
    const numbers = { heads: 2, kvHeads: 2, headSize, window: null, scale: 0.6 };
    await expectGradients(
      opCase({ form, numbers, batch: 2, length: 261, apart: true, fixed: true }, true),
      2,
    );
  });
});
