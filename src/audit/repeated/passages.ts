import type { RepeatedRun } from './ngram-table.js';

/** Overlapping runs of ids, joined. Counts are over all occurrences. */
export interface Passage {
  readonly ids: number[];
  readonly occurrences: number;
  readonly documents: number;
  readonly tokens: number;
  readonly kept: number;
  readonly excess: number;
}

/** Runs belong to one passage while they come about as often: less than a third more or a quarter less. */
const alike = (a: number, b: number): boolean => 3 * a <= 4 * b && 3 * b <= 4 * a;

/**
 * Joins runs of `length` ids that overlap in all ids but one into passages, beginning with the most frequent run and
 * going on with the most frequent neighbour on either side while it comes about as often. Every run is part of one
 * passage. The order of the runs does not matter.
 */
export function joinRuns(runs: readonly RepeatedRun[]): Passage[] {
  const order = [...runs].sort(compareRuns);
  const byStart = new Map<string, RepeatedRun[]>();
  const byEnd = new Map<string, RepeatedRun[]>();
  for (const run of order) {
    push(byStart, run.ids.subarray(0, -1).join(), run);
    push(byEnd, run.ids.subarray(1).join(), run);
  }
  const taken = new Set<RepeatedRun>();
  const passages: Passage[] = [];
  for (const seed of order) {
    if (taken.has(seed)) continue;
    taken.add(seed);
    const next = (found: readonly RepeatedRun[] | undefined): RepeatedRun | undefined => {
      const run = found?.find((one) => !taken.has(one) && alike(one.occurrences, seed.occurrences));
      if (run !== undefined) taken.add(run);
      return run;
    };
    const after: RepeatedRun[] = [];
    for (let run = next(byStart.get(tailOf(seed))); run !== undefined; run = next(byStart.get(tailOf(run)))) {
      after.push(run);
    }
    const before: RepeatedRun[] = [];
    for (let run = next(byEnd.get(headOf(seed))); run !== undefined; run = next(byEnd.get(headOf(run)))) {
      before.push(run);
    }
    passages.push(passageOf([...before.reverse(), seed, ...after], seed));
  }
  return passages;
}

const tailOf = ({ ids }: RepeatedRun): string => ids.subarray(1).join();
const headOf = ({ ids }: RepeatedRun): string => ids.subarray(0, -1).join();

/** The first run counts whole, each later one adds its last token. */
function passageOf(runs: readonly RepeatedRun[], seed: RepeatedRun): Passage {
  const [first, ...rest] = runs;
  const sum = (whole: (run: RepeatedRun) => number, last: (run: RepeatedRun) => number): number =>
    rest.reduce((total, run) => total + last(run), first === undefined ? 0 : whole(first));
  return {
    ids: [...(first?.ids ?? []), ...rest.map(({ ids }) => ids.at(-1) ?? 0)],
    occurrences: seed.occurrences,
    documents: seed.documents,
    tokens: sum(
      ({ occurrences, ids }) => occurrences * ids.length,
      ({ occurrences }) => occurrences,
    ),
    kept: sum(
      ({ kept }) => kept,
      ({ lastKept }) => lastKept,
    ),
    excess: sum(
      ({ excess }) => excess,
      ({ lastExcess }) => lastExcess,
    ),
  };
}

/** Most frequent first, then by ids: one order for one set of runs. */
function compareRuns(a: RepeatedRun, b: RepeatedRun): number {
  if (a.occurrences !== b.occurrences) return b.occurrences - a.occurrences;
  const at = a.ids.findIndex((id, i) => id !== b.ids[i]);
  return at === -1 ? 0 : (a.ids[at] ?? 0) - (b.ids[at] ?? 0);
}

function push(map: Map<string, RepeatedRun[]>, key: string, run: RepeatedRun): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [run]);
  else list.push(run);
}
