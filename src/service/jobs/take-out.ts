import { type Executors, requireExecutor } from './executors.js';

/** Time that a Redis may take to answer. */
const PATIENCE_MS = 10_000;

/**
 * Takes a run out of the queue.
 * @param patience milliseconds to wait for parts in work, which end by themselves
 * @returns how many are still in work
 * @throws TokensieveError `no-redis` (fatal), `redis-refused` (usage); `no-executor` (usage) where there is no queue
 */
export async function takeOut(executors: Executors, run: string, patience: number): Promise<number> {
  const { queue: place } = executors;
  requireExecutor(executors, 'queue');
  if (place === null) return 0;
  // Here, so that a service without a queue does not load one.
  const [{ openQueue, closeQueue }, { removeRun }] = await Promise.all([
    import('../../queue/open-queue.js'),
    import('../../queue/remove-run.js'),
  ]);
  const queue = await openQueue(place, PATIENCE_MS);
  try {
    return (await removeRun(queue, run, patience)).at_work;
  } finally {
    await closeQueue(queue);
  }
}
