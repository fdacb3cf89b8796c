import { describe, expect, it } from 'vitest';
import { parseCards } from '#tokensieve/device/card.js';
import { batchBytes, tokensThatFit, weightBytes } from '#tokensieve/device/card-memory.js';
import { parsePlacement } from '#tokensieve/device/placement.js';
import type { ModelInfo } from '#tokensieve/model/prepared-model.js';
import { type ComputeSettings, planCompute } from '#tokensieve/score/compute.js';

const listed = `0, GPU-aaaa1111, NVIDIA H100 80GB HBM3, 81559, 580.65.06
1, GPU-bbbb2222, NVIDIA H100 80GB HBM3, 81559, 580.65.06
2, GPU-cccc3333, NVIDIA L4, 23034, 580.65.06
`;

describe('cards', () => {
  it('are read from nvidia-smi in its order', () => {
    const cards = parseCards(listed, undefined);
    expect(cards.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(cards[2]).toEqual({
      index: 2,
      name: 'NVIDIA L4',
      memoryBytes: 23034 * 2 ** 20,
      driver: '580.65.06',
    });
  });

  it('are those that CUDA_VISIBLE_DEVICES leaves, counted in its order', () => {
    expect(parseCards(listed, '2,0').map(({ index, name }) => [index, name])).toEqual([
      [0, 'NVIDIA L4'],
      [1, 'NVIDIA H100 80GB HBM3'],
    ]);
    expect(parseCards(listed, 'GPU-cccc').map(({ name }) => name)).toEqual(['NVIDIA L4']);
    expect(parseCards(listed, '1,7,0')).toHaveLength(1);
    expect(parseCards(listed, '')).toEqual([]);
  });

  it('are none where nvidia-smi says something else', () => {
    expect(parseCards('No devices were found\n', undefined)).toEqual([]);
  });
});

/** TinyLlama's shape. */
const model: ModelInfo = {
  folder: 'm',
  hash: 'h',
  architecture: 'LlamaForCausalLM',
  vocabularySize: 32_000,
  maxPositions: 2048,
  parameters: 1_100_048_384,
  flopsPerToken: { matmul: 2.07e9, attentionPerContextToken: 90_112 },
  hiddenSize: 2048,
  activationWidth: 3 * 2048 + 3 * 5632,
  weightType: 'BF16',
  weightBytes: 2_200_096_768,
};
const settings: ComputeSettings = {
  precision: 'auto',
  batchTokens: null,
  cardMemory: null,
  workers: 1,
  cards: null,
  length: 2048,
  attention: 'across',
  entropy: false,
};
const card = { index: 0, name: 'H100', memoryBytes: 80e9, driver: '580' };

describe('batches on a card', () => {
  const needs = {
    models: [model, model],
    precision: 'bf16',
    length: 2048,
    attention: 'across',
    entropy: false,
    pairs: 1,
  } as const;

  it('fit with the weights, and one row more would not where memory is what bounds them', () => {
    for (const bytes of [10.5e9, 11e9, 12e9]) {
      const rows = tokensThatFit(needs, bytes) / 2048;
      const taken = (n: number): number => weightBytes(needs) + batchBytes(needs, n) + 2 ** 30;
      expect(taken(rows)).toBeLessThanOrEqual(0.9 * bytes);
      if (rows < 8) expect(taken(rows + 1)).toBeGreaterThan(0.9 * bytes);
    }
    expect(tokensThatFit(needs, 11e9)).toBeLessThan(tokensThatFit(needs, 80e9));
    expect(tokensThatFit(needs, 80e9)).toBe(16_384);
  });

  it('are smaller where several pairs share the card, and refused where no row fits', () => {
    expect(tokensThatFit({ ...needs, pairs: 8 }, 80e9)).toBeLessThan(16_384);
    expect(() => tokensThatFit(needs, 6e9)).toThrow(
      expect.objectContaining({
        code: 'card-too-small',
        message: expect.stringMatching(/4\.\d+ GB|5\.\d+ GB/),
      }),
    );
  });

  it('are planned from the card and told, settings before the card', () => {
    const planned = planCompute('cuda', [model, model], settings, () => [card]);
    expect(planned).toMatchObject({
      precision: 'bf16',
      batchTokens: 16_384,
      batch: { rows: 8, length: 2048 },
      cards: 1,
      profile: { provider: 'cuda', precision: 'bf16', card: 'H100', driver: '580', tf32: true },
    });
    expect(planned.note).toContain('8 × 2048');
    const set = planCompute('cuda', [model], { ...settings, batchTokens: 5000 }, () => [card]);
    expect(set).toMatchObject({ batchTokens: 5000, batch: { rows: 2 } });
    const small = planCompute('cuda', [model, model], { ...settings, cardMemory: 11 }, () => [card]);
    expect(small.batchTokens).toBeLessThan(16_384);
    const unknown = planCompute('cuda', [model], settings, () => []);
    expect(unknown).toMatchObject({ batchTokens: 4096, profile: { card: null } });
    expect(unknown.note).toContain('run.card_memory');
  });

  it('share the work of a pair a card among several', () => {
    const cards = [card, { ...card, index: 1, memoryBytes: 11e9 }];
    const planned = planCompute('cuda', [model, model], { ...settings, workers: 2 }, () => cards);
    expect(planned.cards).toBe(2);
    // The smaller card bounds them all, since a part's bytes may not depend on the card that made it.
    expect(planned.batchTokens).toBe(tokensThatFit(needs, 11e9));
    expect(() => planCompute('cuda', [model], { ...settings, cards: 3 }, () => cards)).toThrow(
      expect.objectContaining({ code: 'too-many-cards' }),
    );
  });
});

describe('precision', () => {
  const of = (weightType: string, precision: ComputeSettings['precision'] = 'auto') =>
    planCompute('cuda', [{ ...model, weightType }], { ...settings, precision }, () => [card]).precision;

  it('is what the weights allow on CUDA, and what is asked for', () => {
    expect([of('BF16'), of('F16'), of('F32')]).toEqual(['bf16', 'fp16', 'fp16']);
    expect(of('BF16', 'fp16')).toBe('fp16');
    expect(of('F16', 'fp32')).toBe('fp32');
  });

  it('is fp32 elsewhere, and 16 bits are refused there', () => {
    const plan = planCompute('cpu', [], settings);
    expect(plan).toMatchObject({ precision: 'fp32', batchTokens: 4096, batch: null, note: null });
    expect(() => planCompute('cpu', [], { ...settings, precision: 'bf16' })).toThrow(
      expect.objectContaining({ code: 'precision-needs-cuda', reach: 'usage' }),
    );
  });
});

it('finds the nodes that the runtime left to the CPU', () => {
  // As ONNX Runtime 1.29 logged it, with an operator that has no CUDA kernel for float32.
  const at =
    '2026-11-27 06:53:20.174 [V:onnxruntime:, session_state.cc:1386 VerifyEachNodeIsAssignedToAnEp] ';
  const lines = [
    'Node placements',
    ' Node(s) placed on [CUDAExecutionProvider]. Number of nodes: 2',
    '  Add (Add)',
    '  MemcpyFromHost (Memcpy)',
    ' Node(s) placed on [CPUExecutionProvider]. Number of nodes: 2',
    '  GroupQueryAttention (GroupQueryAttention)',
    '  Pad (/model/layers.0/Pad)',
  ].map((line) => at + line);
  expect(parsePlacement(lines)).toEqual([
    'GroupQueryAttention (GroupQueryAttention)',
    'Pad (/model/layers.0/Pad)',
  ]);
  expect(parsePlacement(lines.slice(0, 4))).toEqual([]);
});
