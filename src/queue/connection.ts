import type { RedisOptions } from 'bullmq';
import { usageError } from '../errors.js';
import { percentDecoded } from '../storage/path.js';

/** Name of a queue when none is given; one Redis may hold several. */
export const DEFAULT_QUEUE = 'tokensieve';

/** Where a queue is. `name` is safe to print: it has no password. */
export interface QueuePlace {
  readonly queue: string;
  readonly name: string;
  readonly connection: RedisOptions;
}

/**
 * The Redis that a URL names: `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS. The URL itself
 * goes no further than this function, so that its password is in no message and no log.
 * @throws TokensieveError (usage) `no-redis`, `bad-redis`
 */
export function queuePlace(url: string | undefined, queue = DEFAULT_QUEUE): QueuePlace {
  if (url === undefined || url === '') {
    throw usageError(
      'no-redis',
      'no Redis is named; set TOKENSIEVE_REDIS_URL to redis://[user:password@]host[:port][/database], or give --redis',
    );
  }
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(queue)) {
    throw usageError(
      'bad-queue',
      `--queue ${queue.slice(0, 80)}: expected letters, digits, _ and -, at most 64`,
    );
  }
  // Not the URL, nor the parser's own message, which has it: it may hold a password.
  const refuse = (what: string) =>
    usageError('bad-redis', `the Redis URL ${what}; expected redis://[user:password@]host[:port][/database]`);
  if (!URL.canParse(url)) throw refuse('is not a URL');
  const { protocol, hostname, port, username, password, pathname, search, hash } = new URL(url);
  if (protocol !== 'redis:' && protocol !== 'rediss:')
    throw refuse('begins with neither redis:// nor rediss://');
  // Clients read options there, each in its own way: what is not read must not be told.
  if (search !== '' || hash !== '')
    throw refuse('goes on behind the database with ? or #, which is not read');
  const database = pathname.replace(/^\//, '');
  if (database !== '' && !/^\d{1,4}$/.test(database)) throw refuse('has a database that is not a number');
  const host = hostname === '' ? '127.0.0.1' : hostname.replace(/^\[(.*)\]$/, '$1');
  return {
    queue,
    name: `${host}:${port || 6379}${database === '' ? '' : `/${database}`}`,
    connection: {
      host,
      port: Number(port || 6379),
      ...(username !== '' && { username: percentDecoded(username, 'the Redis URL: user') }),
      ...(password !== '' && { password: percentDecoded(password, 'the Redis URL: password') }),
      ...(database !== '' && { db: Number(database) }),
      ...(protocol === 'rediss:' && { tls: {} }),
      connectTimeout: 10_000,
      keepAlive: 10_000,
      // A queue outlives its Redis: whoever works on it waits and tries again.
      retryStrategy: (times) => Math.min(200 * times, 5_000),
    },
  };
}
