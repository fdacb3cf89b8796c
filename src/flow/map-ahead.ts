/**
 * Maps an iterable, async or not, with up to `ahead` calls in flight, giving results in the order of the input.
 * The source is pulled only when a place is free, so memory is bounded by `ahead` items. On an error or an
 * early exit the calls still in flight are awaited, so nothing runs on behind the caller's back.
 */
export async function* mapAhead<T, R>(
  source: Iterable<T> | AsyncIterable<T>,
  ahead: number,
  map: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const iterator =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  const flying: Promise<R>[] = [];
  let exhausted = false;
  try {
    while (true) {
      while (!exhausted && flying.length < ahead) {
        const next = await iterator.next();
        if (next.done === true) exhausted = true;
        else {
          const call = map(next.value);
          call.catch(() => undefined); // Reported when it is taken below; not an unhandled rejection before.
          flying.push(call);
        }
      }
      const first = flying.shift();
      if (first === undefined) return;
      yield await first;
    }
  } finally {
    await Promise.allSettled(flying);
    await iterator.return?.();
  }
}
