/**
 * Room for the bodies of requests, taken by what each says its length is before a byte of it is read, and given back when
 * it has been answered: what all of them hold together is bounded, however many there are and however slowly they
 * come. Small ones have room of their own, which large ones cannot take from them.
 */
import { createRoom } from '../scoring/room.js';
import { ServiceError } from '../service-error.js';
import type { App } from './app.js';

/** A body up to this is small, in bytes; texts of some thousand tokens are. */
const SMALL_BYTES = 64 << 10;
/** Share of the room that small bodies have to themselves. */
const SMALL_SHARE = 1 / 8;

/** @param bytes of all bodies together */
export function boundBodies(app: App, bytes: number): void {
  const small = createRoom(Math.floor(bytes * SMALL_SHARE));
  const large = createRoom(bytes - small.limit);

  // After the guard: who may not ask takes no room.
  app.addHook('onRequest', async (request, reply) => {
    const { headers, method } = request;
    if (method === 'GET' || method === 'HEAD') return;
    const told = headers['content-length'];
    // A body that does not tell its length may be as long as the route allows.
    const limit = request.routeOptions.bodyLimit ?? 0;
    const length =
      told === undefined ? (headers['transfer-encoding'] === undefined ? 0 : limit) : Number(told);
    // Longer ones are refused unread.
    if (length === 0 || length > limit) return;
    const place = (length <= SMALL_BYTES ? small : large).take(length);
    if (place === null) {
      throw new ServiceError(
        429,
        'too-much-under-way',
        `the bodies of other requests take up the service's memory (--memory); try again later`,
        2,
      );
    }
    reply.raw.once('close', place.release);
  });
}
