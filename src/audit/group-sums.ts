import type { EligibleTokens } from './eligible.js';
import type { KeptGroup } from './report.js';

/** Numbers a group: eligible tokens, kept ones, sums of reference loss, current loss and excess. */
const STRIDE = 5;

/** Which of the measured columns a run has. */
export interface Measured {
  readonly kept: boolean;
  readonly reference: boolean;
  readonly current: boolean;
}

/** What a group holds, as it is reported. */
export type GroupFigures = Pick<
  KeptGroup,
  'eligible' | 'kept' | 'reference_loss' | 'current_loss' | 'excess'
>;

/** Counts and sums by group, in one array that grows: [groups · 5]. Sums are fp64, added in the order of the files. */
export interface GroupSums {
  /** Groups that have room. */
  readonly size: number;
  /** Makes room for groups below `size`. */
  grow(size: number): void;
  /** Adds the eligible tokens [from, to) to the groups that `groupOf` has for them. */
  addEach(tokens: EligibleTokens, groupOf: Int32Array, from: number, to: number): void;
  /** Adds the eligible tokens [from, to) to one group. */
  addSpan(tokens: EligibleTokens, group: number, from: number, to: number): void;
  /** Adds a group of other sums to one of these. */
  addGroup(group: number, other: GroupSums, otherGroup: number): void;
  eligible(group: number): number;
  kept(group: number): number;
  excess(group: number): number;
  figures(group: number, measured: Measured): GroupFigures;
  /** @internal [size · 5] */
  readonly values: Float64Array;
}

export function createGroupSums(size: number): GroupSums {
  let values = new Float64Array(size * STRIDE);
  const at = (group: number, index: number): number => values[group * STRIDE + index] ?? 0;
  return {
    get size() {
      return values.length / STRIDE;
    },
    get values() {
      return values;
    },
    grow(wanted) {
      if (wanted * STRIDE <= values.length) return;
      const larger = new Float64Array(Math.max(wanted * STRIDE, values.length * 2));
      larger.set(values);
      values = larger;
    },
    addEach(tokens, groupOf, from, to) {
      const { kept, excess } = tokens;
      const { reference_loss: reference, current_loss: current } = tokens.losses;
      const sums = values;
      for (let i = from; i < to; i++) {
        const base = (groupOf[i] as number) * STRIDE;
        sums[base] = (sums[base] as number) + 1;
        if (kept !== undefined) sums[base + 1] = (sums[base + 1] as number) + (kept[i] as number);
        if (reference !== undefined) sums[base + 2] = (sums[base + 2] as number) + (reference[i] as number);
        if (current !== undefined) sums[base + 3] = (sums[base + 3] as number) + (current[i] as number);
        if (excess !== undefined) sums[base + 4] = (sums[base + 4] as number) + (excess[i] as number);
      }
    },
    addSpan(tokens, group, from, to) {
      const { kept, excess } = tokens;
      const { reference_loss: reference, current_loss: current } = tokens.losses;
      const base = group * STRIDE;
      let [k, r, c, e] = [at(group, 1), at(group, 2), at(group, 3), at(group, 4)];
      for (let i = from; i < to; i++) {
        if (kept !== undefined) k += kept[i] as number;
        if (reference !== undefined) r += reference[i] as number;
        if (current !== undefined) c += current[i] as number;
        if (excess !== undefined) e += excess[i] as number;
      }
      values[base] = at(group, 0) + to - from;
      values[base + 1] = k;
      values[base + 2] = r;
      values[base + 3] = c;
      values[base + 4] = e;
    },
    addGroup(group, other, otherGroup) {
      for (let index = 0; index < STRIDE; index++) {
        values[group * STRIDE + index] =
          at(group, index) + (other.values[otherGroup * STRIDE + index] as number);
      }
    },
    eligible: (group) => at(group, 0),
    kept: (group) => at(group, 1),
    excess: (group) => at(group, 4),
    figures(group, measured) {
      const eligible = at(group, 0);
      const mean = (index: number, known: boolean): number | null =>
        known && eligible > 0 ? at(group, index) / eligible : null;
      return {
        eligible,
        kept: measured.kept ? at(group, 1) : null,
        reference_loss: mean(2, measured.reference),
        current_loss: mean(3, measured.current),
        excess: mean(4, measured.reference && measured.current),
      };
    },
  };
}
