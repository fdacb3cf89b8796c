/** Which jobs wait and which are at work, in order. Pure: every function gives a new queue. */
export interface Queue {
  /** Ids, the next one first. */
  readonly waiting: readonly string[];
  /** Ids in the order they were started. */
  readonly running: readonly string[];
}

export const emptyQueue: Queue = { waiting: [], running: [] };

/** Adds a job behind all others, or before them. A job that is there already stays where it is. */
export function enqueue(queue: Queue, id: string, end: 'back' | 'front' = 'back'): Queue {
  if (queue.waiting.includes(id) || queue.running.includes(id)) return queue;
  const waiting = end === 'back' ? [...queue.waiting, id] : [id, ...queue.waiting];
  return { ...queue, waiting };
}

/** Takes the next job to work; null when none waits or `limit` are at work. */
export function startNext(
  queue: Queue,
  limit: number,
): { readonly queue: Queue; readonly id: string } | null {
  const [id, ...waiting] = queue.waiting;
  if (id === undefined || queue.running.length >= limit) return null;
  return { queue: { waiting, running: [...queue.running, id] }, id };
}

/** Takes a job out, wherever it is. */
export function leave(queue: Queue, id: string): Queue {
  const others = (ids: readonly string[]): readonly string[] => ids.filter((other) => other !== id);
  return { waiting: others(queue.waiting), running: others(queue.running) };
}

/** Puts a job that was at work before all others. */
export const handBack = (queue: Queue, id: string): Queue => enqueue(leave(queue, id), id, 'front');

/** Place among the waiting, 1 for the next; null for a job that does not wait. */
export function positionOf(queue: Queue, id: string): number | null {
  const index = queue.waiting.indexOf(id);
  return index === -1 ? null : index + 1;
}
