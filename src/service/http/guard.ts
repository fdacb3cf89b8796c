/** Who may ask: where a request comes from, and whether it has the token. */
import type {} from '@fastify/rate-limit';
import type { FastifyRequest } from 'fastify';
import { ServiceError } from '../service-error.js';
import type { App } from './app.js';
import { sameSecret, type Tickets } from './token.js';

export interface GuardOptions {
  /** Null where none is asked for: on loopback only. */
  readonly token: string | null;
  readonly tickets: Tickets;
  /** Names a request may call this host, without port; null for any. */
  readonly hosts: readonly string[] | null;
  /** Wrong tokens an address may try in a minute. */
  readonly wrongTokens: number;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Anybody may ask. */
    readonly open?: boolean;
    /** A ticket in the query will do instead of the token. */
    readonly ticket?: boolean;
  }
}

/** Adds the checks to every route. Routes are closed unless their config says otherwise. */
export function addGuard(app: App, { token, tickets, hosts, wrongTokens }: GuardOptions): void {
  const tries = app.createRateLimit({ max: wrongTokens, timeWindow: 60_000 });

  app.addHook('onRequest', async (request) => {
    checkHost(request, hosts);
    checkOrigin(request);
    const { open, ticket } = request.routeOptions.config;
    if (token === null || open === true || request.is404) return;
    // A good token passes whatever others have tried: nobody guesses one of sixteen characters, so no lock is needed.
    if (isBearer(request, token)) return;
    if (ticket === true && hasTicket(request, tickets)) return;
    // Who sends none guesses nothing.
    if (!guesses(request, ticket === true)) throw noToken();
    const now = await tries(request);
    if (!now.isAllowed && now.isExceeded) throw tooManyTries(now.ttlInSeconds);
    throw noToken();
  });
}

const noToken = (): ServiceError =>
  new ServiceError(401, 'no-token', 'send the token: Authorization: Bearer TOKEN');

const guesses = ({ headers, query }: FastifyRequest, tickets: boolean): boolean =>
  headers.authorization !== undefined || (tickets && (query as { ticket?: unknown }).ticket !== undefined);

const tooManyTries = (seconds: number): ServiceError =>
  new ServiceError(429, 'too-many-tries', 'too many wrong tokens from this address; wait a minute', seconds);

function isBearer({ headers }: FastifyRequest, token: string): boolean {
  const [, given] = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? [];
  return given !== undefined && sameSecret(given, token);
}

function hasTicket({ query, params }: FastifyRequest, tickets: Tickets): boolean {
  const { ticket } = query as { readonly ticket?: unknown };
  const { id } = params as { readonly id?: unknown };
  return typeof ticket === 'string' && typeof id === 'string' && tickets.isGood(ticket, id);
}

/** A page of another site can make a browser ask here under a name of its own (DNS rebinding): names are checked. */
function checkHost({ headers }: FastifyRequest, hosts: readonly string[] | null): void {
  if (hosts === null) return;
  const name = (headers.host ?? '').replace(/:\d+$/, '').toLowerCase();
  if (hosts.includes(name)) return;
  throw new ServiceError(403, 'wrong-host', 'this service does not go by that name; see --allow-host');
}

/**
 * Nor may it ask for anything: what a browser sends on behalf of another site says where it comes from. A link that
 * somebody follows to here is no more than that.
 */
function checkOrigin({ method, headers }: FastifyRequest): void {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  const reads = method === 'GET' || method === 'HEAD';
  if (reads && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document') return;
  const own = origin === undefined || origin === `http://${host}` || origin === `https://${host}`;
  if (own && (site === undefined || site === 'same-origin' || site === 'none')) return;
  throw new ServiceError(403, 'other-site', 'asked for by a page of another site');
}
