import type { Registry } from 'prom-client';
import { z } from 'zod';
import { type App, failures } from '../http/app.js';

/** `GET /metrics`, for Prometheus. */
export function metricsRoutes(app: App, registry: Registry): void {
  app.get(
    '/metrics',
    {
      schema: {
        tags: ['operations'],
        summary: 'Metrics in Prometheus’ text format',
        response: {
          200: { description: 'Metrics', content: { 'text/plain': { schema: z.string() } } },
          ...failures(),
        },
      },
    },
    async (_, reply) => {
      const text = await registry.metrics();
      return reply.type(registry.contentType).serializer(String).send(text);
    },
  );
}
