import { setTimeout as wait } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { fatalError, firstLine, usageError } from '../errors.js';
import type { QueuePlace } from './connection.js';

/** How long a Redis may take to answer at the start. */
const PATIENCE_MS = 20_000;
/** Wait between two tries. */
const AGAIN_MS = 500;

/**
 * The queue, once its Redis answers.
 * @throws TokensieveError `redis-refused` (usage) when it wants another name or password; `no-redis` (fatal)
 */
export async function openQueue(place: QueuePlace, patience = PATIENCE_MS): Promise<Queue> {
  for (const until = Date.now() + patience; ; await wait(AGAIN_MS)) {
    const problem = await ping(place);
    if (problem === null) break;
    if (/DB index|SELECT/.test(problem)) {
      throw usageError(
        'redis-refused',
        `Redis at ${place.name} has no database ${place.connection.db} (${problem}); name another in the URL`,
      );
    }
    // `WRONGPASS invalid username-password pair`: the code alone, in words of our own.
    const [refused] = /NOAUTH|WRONGPASS|NOPERM/.exec(problem) ?? [];
    if (refused !== undefined) {
      throw usageError(
        'redis-refused',
        `Redis at ${place.name} refuses (${refused}); check user and password in the URL`,
      );
    }
    if (Date.now() >= until) {
      throw fatalError(
        'no-redis',
        `Redis at ${place.name} does not answer (${problem}); start it, or name another with TOKENSIEVE_REDIS_URL`,
      );
    }
  }
  const queue = new Queue(place.queue, { connection: place.connection });
  // Whoever calls sees each call's own error; the connection tries again by itself.
  queue.on('error', () => undefined);
  return queue;
}

/** Null when Redis answers, else why it does not, on a connection that is given up at once. */
async function ping({ connection }: QueuePlace): Promise<string | null> {
  const { host = '', port = 0, username, password, db, tls } = connection;
  const client = new Redis({
    host,
    port,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(db !== undefined && { db }),
    ...(tls !== undefined && { tls }),
    connectTimeout: 10_000,
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  });
  let last: string | null = null;
  client.on('error', (error) => {
    last = firstLine(error);
  });
  try {
    await client.connect();
    // The client goes on with database 0 where its own choice is refused.
    if (db !== undefined) await client.select(db);
    await client.ping();
    return null;
  } catch (error) {
    return last ?? firstLine(error);
  } finally {
    client.disconnect();
  }
}

/** Lets go of the queue; of one whose Redis is away, without waiting for it. */
export async function closeQueue(queue: Queue): Promise<void> {
  const closing = queue.close().then(
    () => true,
    () => true,
  );
  if (!(await Promise.race([closing, wait(2_000, false, { ref: false })]))) {
    await queue.disconnect().catch(() => undefined);
  }
}
