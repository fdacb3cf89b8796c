import { health } from '../api.js';
import { type App, failures } from '../http/app.js';
import type { RouteContext } from './context.js';

/** Whether the service lives, and whether it takes work. Open to anybody. */
export function healthRoutes(app: App, { stopping }: RouteContext, version: string): void {
  const tags = ['operations'];
  // No token is asked for.
  const security: [] = [];
  app.get(
    '/health/live',
    {
      config: { open: true },
      schema: { tags, security, summary: 'The process answers', response: { 200: health, ...failures() } },
    },
    async () => ({ status: stopping.aborted ? ('stopping' as const) : ('ok' as const), version }),
  );
  app.get(
    '/health/ready',
    {
      config: { open: true },
      schema: {
        tags,
        security,
        summary: 'Work is taken; 503 while stopping',
        response: { 200: health, ...failures(), 503: health },
      },
    },
    async (_, reply) => {
      if (!stopping.aborted) return { status: 'ok' as const, version };
      reply.code(503);
      return { status: 'stopping' as const, version };
    },
  );
}
