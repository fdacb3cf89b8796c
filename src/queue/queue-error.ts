import { fatalError, firstLine, TokensieveError } from '../errors.js';
import type { QueuePlace } from './connection.js';

/** What Redis says, by the first word of it, and what a person can do. */
const REFUSALS: Readonly<Record<string, string>> = {
  OOM: 'its memory is full; give it more (maxmemory), and let it drop nothing (maxmemory-policy noeviction)',
  MISCONF: 'it cannot save to its disk; make room there',
  READONLY: 'it is a replica, which nobody writes to; name the primary',
  LOADING: 'it is reading its data; try again later',
  NOPERM: 'its user may not do that; give it more rights, or name another in the URL',
  CLUSTERDOWN: 'its cluster is down; try again when it is up',
};

/** Words that BullMQ has for records that are not there any more, or are in part. */
const LOST = /^Missing (?:key|lock)|could not be found|Job .* is not in/;

/** What went wrong at a queue in words for its user; errors of this program as they are. */
export function queueError(place: Pick<QueuePlace, 'name'>, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TokensieveError || error.name === 'AbortError')
    return error;
  if (error instanceof TypeError || error instanceof RangeError) return error;
  const said = firstLine(error);
  const [word = ''] = /^[A-Z]+/.exec(said) ?? [];
  if (Object.hasOwn(REFUSALS, word)) {
    return fatalError('redis-refused', `Redis at ${place.name} refuses (${word}): ${REFUSALS[word]}`, {
      cause: error,
    });
  }
  const what = LOST.test(said)
    ? `${LOST_JOB}; enqueue the run again, which goes on from what is made`
    : `${said}; see that it runs, and try again`;
  return fatalError('queue-failed', `Redis at ${place.name}: ${what}`, { cause: error });
}

export const LOST_JOB =
  'the record of a job is gone or incomplete: it was deleted, or evicted (set maxmemory-policy noeviction)';
