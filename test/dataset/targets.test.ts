import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TokenColumn } from '#tokensieve/dataset/sequence-batch.js';
import { createStatistics } from '#tokensieve/dataset/statistics.js';
import { targetsOf } from '#tokensieve/dataset/targets.js';
import { arbitraryRows, toBatch } from './batches.js';

const N = Number.NaN;
const targets = (columns: Parameters<typeof targetsOf>[0]['columns'], tokens = 4) => [
  ...targetsOf({ columns, inputIds: new Int32Array(tokens) }),
];

describe('targets', () => {
  it('have a loss; a weight of 0 beside it takes none away, one of 1 makes none', () => {
    const loss = Float32Array.of(N, 0, 1.5, N);
    expect(targets({ reference_loss: loss })).toEqual([0, 1, 1, 0]);
    expect(targets({ current_loss: loss, weight: Float32Array.of(0, 0, 1, 0) })).toEqual([0, 1, 1, 0]);
    expect(targets({ current_entropy: loss, weight: Float32Array.of(1, 1, 1, 1) })).toEqual([0, 1, 1, 0]);
  });

  it('have a weight above 0 where there are no losses; nothing is one without either', () => {
    expect(targets({ weight: Float32Array.of(0, 1, 0.25, N) })).toEqual([0, 1, 1, 0]);
    expect(targets({})).toEqual([0, 0, 0, 0]);
    expect(targets({ reference_loss: new Float32Array(0) }, 0)).toEqual([]);
  });

  it('are as many as a manifest counts', () => {
    const kinds: readonly (readonly TokenColumn[])[] = [
      ['reference_loss'],
      ['current_loss', 'current_entropy', 'weight'],
      ['weight'],
    ];
    for (const columns of kinds) {
      fc.assert(
        fc.property(arbitraryRows(columns), (rows) => {
          const batch = toBatch(rows, columns);
          const statistics = createStatistics(columns);
          statistics.add(batch);
          const found = targetsOf(batch).reduce((sum, one) => sum + one, 0);
          expect(found).toBe(statistics.result().eligible);
        }),
        { numRuns: 50 },
      );
    }
  });
});
