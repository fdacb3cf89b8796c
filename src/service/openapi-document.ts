import { createTickets } from './http/token.js';
import { localOnly } from './jobs/executors.js';
import type { Jobs } from './jobs/jobs.js';
import type { JobStore } from './jobs/store.js';
import type { Planner } from './plans/planner.js';
import type { Scoring } from './scoring/open.js';
import { scoreRoutes } from './scoring/routes.js';
import { buildServer, createLogger } from './server.js';

/** The OpenAPI document of the service, from the routes themselves; none of them is called. */
export async function openApiDocument(version: string): Promise<object> {
  const app = await buildServer({
    jobs: {} as Jobs,
    executors: localOnly,
    store: {} as JobStore,
    planner: {} as Planner,
    tickets: createTickets(),
    submissions: 1,
    stopping: new AbortController().signal,
    version,
    logger: createLogger('silent'),
    guard: { token: null, tickets: createTickets(), hosts: null, wrongTokens: 1 },
    trustProxy: [],
    bodyBytes: 2 ** 20,
    scoringStats: () => null,
    addRoutes: (server) => scoreRoutes(server, {} as Scoring),
  });
  try {
    await app.ready();
    return app.swagger();
  } finally {
    await app.close();
  }
}
