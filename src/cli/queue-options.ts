import type { Options } from 'yargs';
import { DEFAULT_QUEUE, type QueuePlace, queuePlace } from '../queue/connection.js';

export const queueOptions: Record<string, Options> = {
  redis: {
    type: 'string',
    requiresArg: true,
    description: 'URL of Redis; rather set TOKENSIEVE_REDIS_URL, since others see command lines',
    group: 'Queue:',
  },
  queue: {
    type: 'string',
    requiresArg: true,
    description: 'Name of the queue; one Redis may hold several',
    defaultDescription: JSON.stringify(DEFAULT_QUEUE),
    group: 'Queue:',
  },
};

/** @throws TokensieveError (usage) `no-redis`, `bad-redis`, `bad-queue` */
export function placeFrom(args: Readonly<Record<string, unknown>>): QueuePlace {
  const { redis, queue } = args as { readonly redis?: string; readonly queue?: string };
  return queuePlace(redis ?? process.env['TOKENSIEVE_REDIS_URL'], queue);
}
