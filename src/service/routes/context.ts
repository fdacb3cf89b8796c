import type { Tickets } from '../http/token.js';
import type { Executors } from '../jobs/executors.js';
import type { Jobs } from '../jobs/jobs.js';
import type { JobStore } from '../jobs/store.js';
import type { Planner } from '../plans/planner.js';

/** What routes work with. */
export interface RouteContext {
  readonly jobs: Jobs;
  readonly executors: Executors;
  readonly store: JobStore;
  readonly planner: Planner;
  readonly tickets: Tickets;
  /** Submissions an address may make in a minute. */
  readonly submissions: number;
  /** Raised when the service stops: streams end. */
  readonly stopping: AbortSignal;
}
