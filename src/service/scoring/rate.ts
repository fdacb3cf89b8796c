/** Tokens a second of what is at work, measured batch by batch; older batches count less and less. */
export interface Rate {
  /** A batch of `tokens` ran from `started` to `ended` (milliseconds of one clock). */
  note(tokens: number, started: number, ended: number): void;
  /** Tokens a second while busy; null before the first batch. */
  perSecond(): number | null;
}

/** Share of the past that each batch leaves: the last twenty or so count. */
const MEMORY = 0.95;

export function createRate(): Rate {
  let tokens = 0;
  let milliseconds = 0;
  let last = Number.NEGATIVE_INFINITY;
  return {
    note(count, started, ended) {
      // Batches overlap: time that an earlier one is counted for is not counted twice.
      const busy = Math.max(0, ended - Math.max(started, last));
      last = Math.max(last, ended);
      tokens = tokens * MEMORY + count;
      milliseconds = milliseconds * MEMORY + busy;
    },
    perSecond: () => (milliseconds > 0 ? (tokens / milliseconds) * 1000 : null),
  };
}

const LONGEST_WAIT = 600;

/**
 * Whole seconds until `tokens` more have room, at the measured rate: at least 1, at most ten minutes.
 * @param held tokens that wait now · @param limit tokens that may wait
 */
export function retryAfter(tokens: number, held: number, limit: number, perSecond: number | null): number {
  if (perSecond === null || perSecond <= 0) return 1;
  const seconds = Math.ceil((held + tokens - limit) / perSecond);
  return Math.min(LONGEST_WAIT, Math.max(1, seconds));
}
