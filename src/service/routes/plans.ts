import { planAnswer, submission } from '../api.js';
import { type App, failures } from '../http/app.js';
import type { RouteContext } from './context.js';
import { submitted } from './jobs.js';

/** `POST /v1/plans`: what a pipeline would do and cost. */
export function planRoutes(app: App, { planner, submissions }: RouteContext): void {
  app.post(
    '/v1/plans',
    {
      config: { rateLimit: { max: submissions, timeWindow: 60_000 } },
      schema: {
        tags: ['jobs'],
        summary: 'What a pipeline would do and cost; nothing is started',
        body: submission,
        response: { 200: planAnswer, ...failures(413, 415) },
      },
    },
    async (request, reply) => {
      // Not request.signal: it is aborted as soon as the request has been read (Node closes it then).
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      return planner.plan(submitted(request.body), gone.signal);
    },
  );
}
