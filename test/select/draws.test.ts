import { describe, expect, it } from 'vitest';
import { philox4x32, philoxKey } from '#tokensieve/numbers/philox.js';
import { drawWords } from '#tokensieve/select/draws.js';
import { readTokens } from '#tokensieve/select/tokens.js';
import { select, toSource, type VectorPart } from './support.js';

const words = (counter: [number, number, number, number], key: [number, number]): string[] => {
  const out = new Uint32Array(4);
  philox4x32(...counter, key, out, 0);
  return [...out].map((word) => word.toString(16).padStart(8, '0'));
};

/** Rows of eligible tokens whose excess is `excess(row, position)`. */
const part = (
  shard: string,
  number: number,
  rows: number,
  length: number,
  excess: (i: number) => number,
): VectorPart => ({
  shard,
  part: number,
  rows: Array.from({ length: rows }, () => ({
    reference_loss: new Array<number>(length).fill(0),
    current_loss: Array.from({ length }, (_, i) => excess(i)),
  })),
});

async function allWords(source: VectorPart, seed: number): Promise<number[]> {
  const found: number[] = [];
  for await (const tokens of readTokens(toSource(source, 50), [], 'random'))
    found.push(...drawWords(tokens, seed));
  return found;
}

/** Pearson's χ² of counts against equal expectations. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((a, b) => a + b, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

describe('philox4x32-10', () => {
  it('gives the known answers of Random123', () => {
    expect(words([0, 0, 0, 0], [0, 0])).toEqual(['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']);
    const ones = 0xffff_ffff;
    expect(words([ones, ones, ones, ones], [ones, ones])).toEqual([
      '408f276d',
      '41c83b0e',
      'a20bc7c6',
      '6d5451fd',
    ]);
    expect(words([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])).toEqual([
      'd16cfe09',
      '94fdcceb',
      '5001e420',
      '24126ea1',
    ]);
  });
});

describe('draws', () => {
  it('are uniform in the upper and the lower byte, over rows, positions and parts', async () => {
    const bytes = [new Array<number>(256).fill(0), new Array<number>(256).fill(0)];
    for (const number of [0, 1, 2]) {
      for (const word of await allWords(
        part('u', number, 200, 127, () => 1),
        0,
      )) {
        bytes[0]![word >>> 24]!++;
        bytes[1]![word & 255]!++;
      }
    }
    // 255 degrees of freedom: mean 255, standard deviation 22.6; the seed is fixed, so this never flickers.
    for (const counts of bytes) expect(Math.abs(chiSquare(counts) - 255)).toBeLessThan(4 * 22.6);
  });

  it('differ by seed, shard, part, row and position', async () => {
    const draws = [
      await allWords(
        part('a', 0, 4, 64, () => 1),
        0,
      ),
      await allWords(
        part('a', 0, 4, 64, () => 1),
        1,
      ),
      await allWords(
        part('b', 0, 4, 64, () => 1),
        0,
      ),
      await allWords(
        part('a', 1, 4, 64, () => 1),
        0,
      ),
    ].flat();
    // 1024 words of 32 bits: any two equal with probability 1e-4; a repeated stream would give hundreds.
    expect(new Set(draws).size).toBe(draws.length);
    expect(philoxKey(1, '1')).not.toEqual(philoxKey(11, ''));
  });

  it('keep each position equally often: random', async () => {
    const { weights } = await select({ method: 'random', keep: 0.25, scope: 'sequence' }, [
      part('r', 0, 4000, 16, (i) => i),
    ]);
    const counts = new Array<number>(16).fill(0);
    for (const row of weights[0]!) for (const [i, weight] of row.entries()) counts[i]! += weight;
    expect(counts.reduce((a, b) => a + b)).toBe(16_000);
    // 15 degrees of freedom, somewhat less spread for draws without replacement: 99.9% below 37.7.
    expect(chiSquare(counts)).toBeLessThan(37.7);
  });

  it.each([
    ['relu', [1, 2, 3, 4]],
    ['softmax', [1, 2, 3, 4].map(Math.log)],
  ] as const)('keep one of four in proportion to p: sampled by %s', async (probability, values) => {
    const rows = 20_000;
    const { weights } = await select({ method: 'sampled', probability, keep: 0.25, scope: 'sequence' }, [
      part('p', 0, rows, 4, (i) => values[i]!),
    ]);
    const counts = [0, 0, 0, 0];
    for (const row of weights[0]!) for (const [i, weight] of row.entries()) counts[i]! += weight;
    // p = 0.1, 0.2, 0.3, 0.4; four standard deviations of a binomial count of 20,000 stay below 280.
    for (const [i, count] of counts.entries())
      expect(Math.abs(count - (rows * (i + 1)) / 10)).toBeLessThan(280);
  });

  it('without replacement, the second of two draws follows p too: sampled', async () => {
    const rows = 20_000;
    const { weights } = await select(
      { method: 'sampled', probability: 'relu', keep: 0.5, scope: 'sequence' },
      [part('q', 0, rows, 4, (i) => i + 1)],
    );
    let first = 0;
    for (const row of weights[0]!) first += row[0]!;
    // P(token of p = 0.1 among two) = 0.1 + Σ_j p_j · 0.1 / (1 − p_j) over the others.
    const expected = 0.1 + (0.2 * 0.1) / 0.8 + (0.3 * 0.1) / 0.7 + (0.4 * 0.1) / 0.6;
    expect(Math.abs(first / rows - expected)).toBeLessThan(4 * Math.sqrt((expected * (1 - expected)) / rows));
  });
});
