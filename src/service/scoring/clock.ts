/**
 * Turns of rows: fair queuing among the requests that are open. Each request's own clock is its turn at the start plus
 * its tokens before the row; the common clock goes on by what was begun, shared by those that are open. A request
 * that comes begins where the one that has had least is, and so goes before the next rows of large ones, which had
 * more. Its turn is never further behind the common clock than a few batches: however many small ones come, what
 * waits is passed by no more than that.
 */
export interface Clock {
  /** The turn of the first row of a request that comes now. @param begun turns of rows that wait, of requests that have begun */
  turn(begun: Iterable<number>): number;
  /** @param tokens that were given to the models · @param open requests that are not answered, those included */
  began(tokens: number, open: number): void;
}

/** @param slack tokens that a request which comes may be before the common clock */
export function createClock(slack: number): Clock {
  let time = 0;
  return {
    turn(begun) {
      let least = Number.POSITIVE_INFINITY;
      for (const turn of begun) least = Math.min(least, turn);
      // Before those that have begun, not beside them.
      return Number.isFinite(least) ? Math.max(least - 1, time - slack) : time;
    },
    began(tokens, open) {
      time += tokens / Math.max(1, open);
    },
  };
}
