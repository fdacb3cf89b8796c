import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Curve, compareArms, meanCurve, spreadOf, tokensToReach } from '#tokensieve/report/curves.js';

/** Losses measured every 100 tokens, the first at `from`. */
const curve = (losses: readonly number[], from = 0): Curve =>
  losses.map((loss, i) => ({ step: i + 1, tokens: from + 100 * i, loss }));

describe('tokens to reach a loss', () => {
  it('lie on the straight line between the measurements around it', () => {
    expect(tokensToReach(curve([5, 3, 2]), 4)).toBe(50);
    expect(tokensToReach(curve([5, 3, 2]), 3)).toBe(100);
    expect(tokensToReach(curve([5, 3, 2]), 2.25)).toBe(175);
  });

  it('are those of the first time, where a curve rises again', () => {
    expect(tokensToReach(curve([5, 3, 6, 1]), 3.5)).toBe(75);
  });

  it('are none where it is never reached, and at most the first where that is there already', () => {
    expect(tokensToReach(curve([5, 3, 2]), 1.99)).toBeNull();
    expect(tokensToReach([], 1)).toBeNull();
    expect(tokensToReach(curve([5, 3], 70), 6)).toBe(70);
  });

  it('grow as the target falls', () => {
    const losses = fc.array(fc.double({ min: 0, max: 10, noNaN: true }), { minLength: 2, maxLength: 20 });
    fc.assert(
      fc.property(losses, fc.double({ min: 0, max: 10, noNaN: true }), (values, target) => {
        const high = tokensToReach(curve(values), target);
        const low = tokensToReach(curve(values), target / 2);
        if (low === null) return true;
        return high !== null && high <= low;
      }),
    );
  });
});

describe('the mean curve', () => {
  it('has the steps that all runs measured', () => {
    const short = curve([4, 3]);
    const long = curve([6, 5, 1], 10);
    expect(meanCurve([short, long])).toEqual([
      { step: 1, tokens: 5, loss: spreadOf([4, 6]) },
      { step: 2, tokens: 105, loss: spreadOf([3, 5]) },
    ]);
    expect(meanCurve([])).toEqual([]);
  });

  it('has a sample’s deviation, and none for one run', () => {
    expect(spreadOf([1, 2, 6])).toEqual({ mean: 3, deviation: Math.sqrt(7), low: 1, high: 6, count: 3 });
    expect(spreadOf([2]).deviation).toBeNull();
    expect(() => spreadOf([])).toThrow(RangeError);
  });
});

describe('two arms', () => {
  it('are compared pair by pair, at equal tokens and in tokens to the baseline’s loss', () => {
    const baseline = [curve([5, 4, 3]), curve([5, 4, 3.5])];
    const arm = [curve([5, 3, 2]), curve([5, 4.5, 4])];
    const compared = compareArms(baseline, arm);
    expect(compared).toMatchObject({ tokens: 200, ahead: 1, reached: 1 });
    expect(compared?.difference).toMatchObject({ mean: -0.25, low: -1, high: 0.5 });
    expect(compared?.tokensToBaseline).toEqual(spreadOf([100]));
    expect(compared?.ratio).toEqual(spreadOf([2]));
  });

  it('are compared where both were measured, when one went on longer', () => {
    const compared = compareArms([curve([5, 4])], [curve([5, 4.5, 1])]);
    expect(compared).toMatchObject({ tokens: 100, reached: 0, tokensToBaseline: null, ratio: null });
  });

  it('have no ratio when the baseline only got worse', () => {
    expect(compareArms([curve([3, 4])], [curve([3, 2])])).toMatchObject({ reached: 1, ratio: null });
  });

  it('are not compared without a common step, or with runs that have no partner', () => {
    expect(compareArms([curve([1])], [[{ step: 7, tokens: 0, loss: 1 }]])).toBeNull();
    expect(compareArms([curve([1])], [curve([1]), curve([1])])).toBeNull();
  });
});
