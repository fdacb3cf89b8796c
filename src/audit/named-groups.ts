import { createGroupSums, type GroupSums, type Measured } from './group-sums.js';
import type { KeptBy, KeptGroup } from './report.js';

/** Names that are counted by themselves; later ones are counted together. */
const MAX_NAMES = 100_000;
/** Groups that a report shows. */
const SHOWN = 40;

/** Sums by name: of a host, of a column's value. */
export interface NamedGroups {
  /** Adds a group of other sums under a name. */
  add(name: string, other: GroupSums, otherGroup: number): void;
  report(by: string, label: string, measured: Measured): KeptBy;
}

/** @param maxNames names counted by themselves · @param shown groups of the report */
export function createNamedGroups(maxNames = MAX_NAMES, shown = SHOWN): NamedGroups {
  const indices = new Map<string, number>();
  const sums = createGroupSums(64);
  /** Group of the names beyond the bound. */
  const OVERFLOW = 0;
  const seenBeyond = { any: false };
  return {
    add(name, other, otherGroup) {
      if (other.eligible(otherGroup) === 0) return;
      let index = indices.get(name);
      if (index === undefined && indices.size < maxNames) {
        index = indices.size + 1;
        indices.set(name, index);
        sums.grow(index + 1);
      }
      if (index === undefined) seenBeyond.any = true;
      sums.addGroup(index ?? OVERFLOW, other, otherGroup);
    },
    report(by, label, measured) {
      const ranked = [...indices].sort(
        ([a, i], [b, j]) => sums.eligible(j) - sums.eligible(i) || (a < b ? -1 : 1),
      );
      const rest = createGroupSums(1);
      rest.addGroup(0, sums, OVERFLOW);
      for (const [, index] of ranked.slice(shown)) rest.addGroup(0, sums, index);
      const group = (name: string, of: GroupSums, index: number): KeptGroup => ({
        name,
        low: null,
        high: null,
        ...of.figures(index, measured),
      });
      return {
        by,
        label,
        ordered: false,
        groups: ranked.slice(0, shown).map(([name, index]) => group(name, sums, index)),
        groups_total: ranked.length,
        others:
          ranked.length > shown || seenBeyond.any
            ? group(seenBeyond.any ? 'others, not all of them counted apart' : 'others', rest, 0)
            : null,
      };
    },
  };
}

/** Groups 0, 1, 2–3, 4–7 and so on: by the power of two that a count has reached. */
export interface DoublingGroups {
  readonly sums: GroupSums;
  /** The group of a count. */
  groupOf(count: number): number;
  report(by: string, label: string, measured: Measured): KeptBy;
}

/** Room for counts up to 2^52. */
export function createDoublingGroups(): DoublingGroups {
  const sums = createGroupSums(54);
  return {
    sums,
    groupOf: (count) =>
      count < 1 ? 0 : count < 2 ** 31 ? 32 - Math.clz32(count) : 1 + Math.floor(Math.log2(count)),
    report(by, label, measured) {
      const groups: KeptGroup[] = [];
      for (let group = 0; group < sums.size; group++) {
        if (sums.eligible(group) === 0) continue;
        const [low, high] = group === 0 ? [0, 1] : [2 ** (group - 1), 2 ** group];
        const name = high - low === 1 ? String(low) : `${low} to ${high - 1}`;
        groups.push({ name, low, high, ...sums.figures(group, measured) });
      }
      return { by, label, ordered: true, groups, groups_total: groups.length, others: null };
    },
  };
}
