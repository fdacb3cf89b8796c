/** Counts by group, for where two runs differ. */
import type { Comparison, ComparisonGroup } from './comparison-report.js';

type DifferBy = Comparison['differ_by'][number];

/** Groups told apart; tokens of further ones count together. Order of reading decides. */
const MOST_GROUPS = 100_000;
/** Groups in the report. */
const SHOWN = 40;
const OTHERS = '(others)';

/** Counters of numbered groups. Plain arrays: one is found by name once a document, then by number. */
export interface Groups {
  /** The number of a group, made at its first mention. */
  numberOf(name: string): number;
  /** @param kept 0 neither run keeps the token, 1 the first only, 2 the second only, 3 both */
  add(group: number, kept: number, difference: number): void;
  report(by: string, label: string, selected: boolean): DifferBy;
}

export function createGroups(most: number = MOST_GROUPS): Groups {
  const numbers = new Map<string, number>();
  const eligible: number[] = [];
  const onlyA: number[] = [];
  const onlyB: number[] = [];
  const sums: number[] = [];
  const measured: number[] = [];
  return {
    numberOf(name) {
      const known = numbers.get(name);
      if (known !== undefined) return known;
      const own = numbers.size < most ? name : OTHERS;
      const number = numbers.get(own) ?? numbers.size;
      if (!numbers.has(own)) {
        numbers.set(own, number);
        for (const counter of [eligible, onlyA, onlyB, sums, measured]) counter.push(0);
      }
      return number;
    },
    add(group, kept, difference) {
      eligible[group] = (eligible[group] as number) + 1;
      if (kept === 1) onlyA[group] = (onlyA[group] as number) + 1;
      if (kept === 2) onlyB[group] = (onlyB[group] as number) + 1;
      if (Number.isNaN(difference)) return;
      sums[group] = (sums[group] as number) + difference;
      measured[group] = (measured[group] as number) + 1;
    },
    report(by, label, selected) {
      const all = [...numbers].map(([name, i]) => ({
        name,
        eligible: eligible[i] ?? 0,
        onlyA: onlyA[i] ?? 0,
        onlyB: onlyB[i] ?? 0,
        sum: sums[i] ?? 0,
        measured: measured[i] ?? 0,
      }));
      const found = all.filter((one) => one.eligible > 0);
      const weight = (one: Counts) => (selected ? one.onlyA + one.onlyB : one.sum);
      found.sort((a, b) => weight(b) - weight(a) || b.eligible - a.eligible || (a.name < b.name ? -1 : 1));
      const rest = found.slice(SHOWN);
      return {
        by,
        label,
        ordered: false,
        groups: found.slice(0, SHOWN).map((one) => groupOf(one, selected)),
        groups_total: found.length,
        others: rest.length === 0 ? null : groupOf(rest.reduce(added, { ...NONE, name: OTHERS }), selected),
      };
    },
  };
}

interface Counts {
  readonly name: string;
  readonly eligible: number;
  readonly onlyA: number;
  readonly onlyB: number;
  /** Of absolute differences, in nats, over `measured` tokens. */
  readonly sum: number;
  readonly measured: number;
}

const NONE = { eligible: 0, onlyA: 0, onlyB: 0, sum: 0, measured: 0 };

const added = (a: Counts, b: Counts): Counts => ({
  name: a.name,
  eligible: a.eligible + b.eligible,
  onlyA: a.onlyA + b.onlyA,
  onlyB: a.onlyB + b.onlyB,
  sum: a.sum + b.sum,
  measured: a.measured + b.measured,
});

const groupOf = (
  { name, eligible, onlyA, onlyB, sum, measured }: Counts,
  selected: boolean,
): ComparisonGroup => ({
  name,
  low: null,
  high: null,
  eligible,
  only_a: onlyA,
  only_b: onlyB,
  flip_rate: selected && eligible > 0 ? (onlyA + onlyB) / eligible : null,
  difference: measured === 0 ? null : sum / measured,
});

/** Groups of a number, cut at `edges`: group i is [edges[i], edges[i + 1]), the last one open. */
export function createBins(edges: readonly number[], nameOf: (low: number, high: number | null) => string) {
  const groups = createGroups();
  const names = edges.map((low, i) => nameOf(low, edges[i + 1] ?? null));
  for (const name of names) groups.numberOf(name);
  return {
    /** The group of a value at or above the first edge. */
    binOf(value: number): number {
      let bin = 0;
      while (bin + 1 < edges.length && value >= (edges[bin + 1] as number)) bin++;
      return bin;
    },
    add: groups.add,
    report(by: string, label: string, selected: boolean): DifferBy {
      const found = groups.report(by, label, selected).groups;
      const ordered = names.flatMap((name, i) => {
        const group = found.find((one) => one.name === name);
        return group === undefined ? [] : [{ ...group, low: edges[i] ?? null, high: edges[i + 1] ?? null }];
      });
      return { by, label, ordered: true, groups: ordered, groups_total: ordered.length, others: null };
    },
  };
}
