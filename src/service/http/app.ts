/** The type of the server everywhere in this room: zod schemas check what comes in and what goes out. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { errorSchema } from '../api.js';

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

const WHY: Readonly<Record<number, string>> = {
  400: 'The request is wrong; the message says where',
  401: 'No token, or a wrong one',
  403: 'Refused by where the request comes from',
  404: 'There is no such thing',
  409: 'The state does not allow it',
  413: 'The body is too long',
  415: 'The body is not JSON',
  416: 'The range lies beyond the file',
  429: 'Too many; see Retry-After',
  503: 'Not now: the service is stopping, or was too slow',
};

/** Responses of a route by status: these errors beside those that every route may give. */
export function failures(...statuses: readonly number[]): Record<number, z.ZodType> {
  const all = [...new Set([400, 401, 403, 429, 503, ...statuses])].sort((a, b) => a - b);
  return Object.fromEntries(all.map((status) => [status, errorSchema.describe(WHY[status] ?? 'Error')]));
}
