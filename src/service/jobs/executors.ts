/** Who makes the parts of a job: processes of this service, or workers of a queue. */
import { usageError } from '../../errors.js';
import { type QueuePlace, queuePlace } from '../../queue/connection.js';

export const EXECUTORS = ['local', 'queue', 'array'] as const;
export type ExecutorName = (typeof EXECUTORS)[number];

/** Processes that share a job's parts. */
export interface ArrayRules {
  readonly count: number;
  /** Command that the command line of each goes behind; empty for processes of this machine. */
  readonly launcher: readonly string[];
}

/** What a service offers. `local` is always there. */
export interface Executors {
  readonly names: readonly ExecutorName[];
  /** Of submissions that name none. */
  readonly usual: ExecutorName;
  readonly queue: QueuePlace | null;
  readonly array: ArrayRules | null;
}

export interface ExecutorSettings {
  readonly executor: ExecutorName;
  readonly queue: string;
  readonly array?: ArrayRules | undefined;
}

/** A service of nothing but this machine. */
export const localOnly: Executors = { names: ['local'], usual: 'local', queue: null, array: null };

/**
 * @param redis URL of the queue's Redis; undefined or '' for none
 * @throws TokensieveError (usage) `no-executor` when the usual one is not there; `bad-redis`, `bad-queue`
 */
export function openExecutors(settings: ExecutorSettings, redis: string | undefined): Executors {
  const { executor: usual, array = null } = settings;
  const queue = redis === undefined || redis === '' ? null : queuePlace(redis, settings.queue);
  const names = EXECUTORS.filter(
    (name) => name === 'local' || (name === 'queue' ? queue !== null : array !== null),
  );
  const executors = { names, usual, queue, array };
  requireExecutor(executors, usual);
  return executors;
}

/** What a service needs to offer an executor. */
const NEEDS: Readonly<Record<ExecutorName, string>> = {
  local: '',
  queue: 'it has no Redis; start it with TOKENSIEVE_REDIS_URL set',
  array: 'it has no array; set `array: { count: N }` in the file of its settings',
};

/** @throws TokensieveError (usage) `no-executor` */
export function requireExecutor({ names }: Executors, name: ExecutorName): void {
  if (names.includes(name)) return;
  throw usageError('no-executor', `executor: ${name}: this service does not offer it: ${NEEDS[name]}`);
}
