/** Work between two turns of the event loop, by the measure that is given: tokens, some ten milliseconds of them. */
const A_TURN = 16_384;

/** Maps items one after the other, letting others have their turn in between. */
export async function inTurns<T, R>(
  items: readonly T[],
  work: (item: T) => number,
  map: (item: T, index: number) => R,
): Promise<R[]> {
  const results: R[] = [];
  let done = 0;
  for (const [index, item] of items.entries()) {
    if (done > 0 && done + work(item) > A_TURN) {
      await new Promise((resolve) => setImmediate(resolve));
      done = 0;
    }
    results.push(map(item, index));
    done += work(item);
  }
  return results;
}
