import type { FastifyReply } from 'fastify';

/**
 * Raised when the client goes away before it is answered. Not the framework's `request.signal`: that one is raised as
 * soon as a body has been read.
 */
export function clientGone({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort();
  });
  return gone.signal;
}
