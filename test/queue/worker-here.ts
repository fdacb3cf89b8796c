import { afterEach } from 'vitest';
import type { QueuePlace } from '#tokensieve/queue/connection.js';
import type { Performer } from '#tokensieve/queue/performer.js';
import { runQueueWorker } from '#tokensieve/queue/worker.js';

/**
 * Starts workers in this process that do what a test says, and stops them after each test. What a worker was not told
 * how to do fails.
 * @returns starts one; what it said comes in the list
 */
export function workersHere(place: () => QueuePlace): (performer: Partial<Performer>) => Promise<string[]> {
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });
  const unused = async (): Promise<never> => {
    throw new Error('not expected');
  };
  return async (performer) => {
    const said: string[] = [];
    const stop = new AbortController();
    const ended = runQueueWorker({
      place: place(),
      performer: {
        plan: unused,
        finish: unused,
        part: unused,
        single: unused,
        close: async () => undefined,
        ...performer,
      },
      parts: 2,
      lease: 5,
      takeovers: 1,
      grace: 0,
      untilEmpty: false,
      sink: (event) => void ('message' in event && said.push(event.message)),
      signal: stop.signal,
    });
    ends.push(async () => {
      stop.abort();
      await ended;
    });
    return said;
  };
}
