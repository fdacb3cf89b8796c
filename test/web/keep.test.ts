import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SequenceBatch } from '#tokensieve/dataset/sequence-batch.js';
import { createSelection } from '#tokensieve/select/selection.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { binScores, keptInBins, ticks } from '../../web/src/playground/bins.js';
import { keepShare, METHODS, type MethodName, rankTokens } from '../../web/src/playground/keep.js';

type Losses = readonly (readonly [reference: number | null, current: number | null])[];

/** What `tokensieve select` gives for the same losses as one document. */
async function selected(losses: Losses, method: MethodName, keep: number): Promise<number[]> {
  const column = (which: 0 | 1): Float32Array =>
    Float32Array.from(losses, (pair) => pair[which] ?? Number.NaN);
  const batch: SequenceBatch = {
    sequenceIds: BigInt64Array.of(0n),
    offsets: Int32Array.of(0, losses.length),
    inputIds: new Int32Array(losses.length),
    columns: { reference_loss: column(0), current_loss: column(1) },
    segments: {
      offsets: Int32Array.of(0, 1),
      document: BigInt64Array.of(0n),
      tokenStart: Int32Array.of(0),
      tokenCount: Int32Array.of(losses.length),
      byteStart: BigInt64Array.of(0n),
      byteEnd: BigInt64Array.of(BigInt(losses.length)),
    },
  };
  const part = {
    shard: 'a',
    part: 0,
    async *batches() {
      yield batch;
    },
  };
  const settings = selectionSettings.parse({ method, keep, scope: 'sequence', allow_constant: true });
  const selection = createSelection(settings);
  const weights: number[] = [];
  for await (const { weights: some } of selection.weigh(part, await selection.prepare([part])).batches) {
    weights.push(...some);
  }
  return weights;
}

const kept = (losses: Losses, method: MethodName, ppm: number): number[] => {
  const ranked = rankTokens(method, {
    reference_loss: losses.map(([reference]) => reference),
    current_loss: losses.map(([, current]) => current),
  });
  return [...keepShare(ranked, ppm).flags];
};

describe('what the playground keeps', () => {
  it('is what select keeps, for any losses and any share', async () => {
    // Few values, so that ties are many; and any fp32 number that a loss can be.
    const loss = fc.oneof(
      fc.constantFrom(0, 0.5, 1, 1.5, 2),
      fc.float({ min: 0, max: 50, noNaN: true }).map((value) => Math.abs(value)),
    );
    // A token has both losses or none, as scoring gives them.
    const tokens = fc.array(
      fc.oneof(
        { weight: 5, arbitrary: fc.tuple(loss, loss) },
        { weight: 1, arbitrary: fc.constant([null, null] as const) },
      ),
      {
        minLength: 1,
        maxLength: 60,
      },
    );
    await fc.assert(
      fc.asyncProperty(
        tokens,
        fc.constantFrom(...METHODS.map(({ name }) => name)),
        fc.integer({ min: 1, max: 1_000_000 }),
        async (losses, method, ppm) => {
          expect(kept(losses, method, ppm)).toEqual(await selected(losses, method, ppm / 1e6));
        },
      ),
      { numRuns: 400 },
    );
  });

  it('keeps at least one token, the earlier of equals, and none where none is eligible', () => {
    const equal = [
      [1, 2],
      [1, 2],
      [1, 2],
    ] as const;
    expect(kept(equal, 'slm', 1)).toEqual([1, 0, 0]);
    expect(kept(equal, 'slm', 700_000)).toEqual([1, 1, 0]);
    expect(kept([[null, null]], 'slm', 1_000_000)).toEqual([0]);
    expect(kept([], 'slm', 600_000)).toEqual([]);
  });

  it('subtracts in fp32, as the files do', () => {
    // In fp64 the second token's excess is larger by one; in fp32 they are equal, and the earlier wins.
    const big = Math.fround(16_777_216);
    const ranked = rankTokens('slm', { reference_loss: [0, -1], current_loss: [big, big] });
    expect([...ranked.scores]).toEqual([big, big]);
    expect([...keepShare(ranked, 500_000).flags]).toEqual([1, 0]);
  });

  it('says the lowest score that it kept', () => {
    const ranked = rankTokens('slm', { reference_loss: [0, 0, 0, 0], current_loss: [4, 1, 3, 2] });
    expect(keepShare(ranked, 500_000)).toMatchObject({ count: 2, cutoff: 3 });
    expect(keepShare(ranked, 1_000_000)).toMatchObject({ count: 4, cutoff: 1 });
  });
});

describe('the histogram', () => {
  it('counts every eligible token once, kept ones among them', () => {
    const scores = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -40, max: 40 }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(scores, fc.infiniteStream(fc.integer({ min: 0, max: 3 })), (values, draws) => {
        const flags = Uint8Array.from(values, () => Number((draws.next().value ?? 0) > 0));
        const bins = binScores(Float32Array.from(values), flags, 32);
        const eligible = flags.reduce((sum, flag) => sum + flag, 0);
        if (eligible === 0) {
          expect(bins).toBeNull();
          return;
        }
        if (bins === null) throw new Error('no bins');
        expect(bins.counts.reduce((sum, n) => sum + n, 0)).toBe(eligible);
        expect([...keptInBins(bins, flags)]).toEqual([...bins.counts]);
        expect(bins.high).toBeGreaterThan(bins.low);
      }),
    );
  });

  it('has round ticks within its range', () => {
    expect(ticks(-1.2, 4.9, 6)).toEqual([0, 2, 4]);
    fc.assert(
      fc.property(
        fc.double({ min: -50, max: 50, noNaN: true }),
        fc.double({ min: 1e-3, max: 50, noNaN: true }),
        (low, width) => {
          const found = ticks(low, low + width, 6);
          expect(found.length).toBeLessThanOrEqual(7);
          for (const tick of found) {
            expect(tick).toBeGreaterThanOrEqual(low - 1e-9);
            expect(tick).toBeLessThanOrEqual(low + width + 1e-9);
          }
        },
      ),
    );
  });
});
