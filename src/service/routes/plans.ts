import { planAnswer, submission } from '../api.js';
import { type App, failures } from '../http/app.js';
import { clientGone } from '../http/client-gone.js';
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
    async ({ body }, reply) => planner.plan(submitted(body), clientGone(reply)),
  );
}
