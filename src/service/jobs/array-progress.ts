import { foldEvent, type LogEvent, noProgress, type Progress } from './progress.js';

/** Processes of one array whose progress is added up. */
const MAX_SHARES = 10_000;

/** How far a job is, from the lines of its log: of one process, or of an array, whose lines say which process's they are. */
export interface JobProgress {
  add(event: LogEvent): void;
  read(): Progress;
}

export function createJobProgress(stages: readonly string[]): JobProgress {
  let progress = noProgress(stages);
  /** Of each process of an array, stage by stage. */
  const shares = new Map<number, Progress[]>();
  return {
    read: () => progress,
    add(event) {
      const { array_index: index } = event;
      if (typeof index !== 'number') {
        if (event.event === 'attempt' || event.event === 'stage') shares.clear();
        progress = foldEvent(progress, event);
        return;
      }
      const own = shares.get(index) ?? [];
      if (event.event === 'stage') own.push(foldEvent(noProgress(stages), event));
      else {
        const last = own.pop();
        if (last === undefined) return;
        own.push(foldEvent(last, event));
      }
      if (shares.has(index) || shares.size < MAX_SHARES) shares.set(index, own);
      progress = together([...shares.values()], stages);
    },
  };
}

/** The stage that the last of an array's processes is at: sums over all that have come to it. */
function together(shares: readonly (readonly Progress[])[], stages: readonly string[]): Progress {
  const reached = Math.min(...shares.map(({ length }) => length));
  const at = shares.flatMap((own) => own[reached - 1] ?? []);
  // A process that is at a later stage has no rate in this one.
  const atWork = shares.flatMap((own) => (own.length === reached ? (own.at(-1) ?? []) : []));
  const sum = (value: (one: Progress) => number): number => at.reduce((total, one) => total + value(one), 0);
  const known = (value: (one: Progress) => number | null): number[] =>
    atWork.flatMap((one) => value(one) ?? []);
  const rates = known((one) => one.tokens_per_second);
  const left = known((one) => one.seconds_left);
  return {
    ...noProgress(stages),
    stage: at[0]?.stage ?? null,
    parts: sum((one) => one.parts),
    parts_done: sum((one) => one.parts_done),
    text_bytes: sum((one) => one.text_bytes),
    text_bytes_done: sum((one) => one.text_bytes_done),
    tokens: sum((one) => one.tokens),
    tokens_per_second: rates.length === 0 ? null : rates.reduce((total, rate) => total + rate, 0),
    seconds_left: left.length === 0 ? null : Math.max(...left),
  };
}
