/** One of `count` processes that share a run's tasks without talking to each other. */
export interface Share {
  /** 0 … count − 1. */
  readonly index: number;
  readonly count: number;
}

/**
 * The tasks of one share, in the order of the plan. Pure, and of the whole plan, not of what is left of it: every
 * process must deal alike, whenever it looks. The largest tasks are dealt first, each to the share with the least text
 * so far (Graham's LPT rule), so that shares differ by less than one task; a jsonl shard is one task.
 */
export function tasksOfShare<Task>(
  tasks: readonly Task[],
  { index, count }: Share,
  textBytes: (task: Task) => number,
): readonly Task[] {
  if (count === 1) return tasks;
  const largestFirst = tasks.map((task, place) => ({ place, bytes: textBytes(task) }));
  largestFirst.sort((a, b) => b.bytes - a.bytes || a.place - b.place);
  const dealt = new Float64Array(count);
  const own: number[] = [];
  for (const { place, bytes } of largestFirst) {
    const least = indexOfLeast(dealt);
    // A task without text costs something too, and must not go to the same share each time.
    dealt[least] = (dealt[least] ?? 0) + Math.max(1, bytes);
    if (least === index) own.push(place);
  }
  return own.sort((a, b) => a - b).flatMap((place) => tasks[place] ?? []);
}

function indexOfLeast(values: Float64Array): number {
  let least = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) < (values[least] ?? 0)) least = i;
  return least;
}
