import { z } from 'zod';
import {
  executorList,
  jobDetail,
  jobList,
  jobParameters,
  listQuery,
  logPage,
  logQuery,
  submission,
} from '../api.js';
import { type App, failures } from '../http/app.js';
import type { Submission } from '../jobs/jobs.js';
import type { RouteContext } from './context.js';
import { detailOf, summaryOf } from './views.js';

/** A submission as the jobs take it. */
export const submitted = (body: z.output<typeof submission>): Submission => ({
  name: body.name,
  executor: body.executor,
  pipeline: 'pipeline' in body ? body.pipeline : body.settings,
});

/** Submitting, listing, looking at, cancelling, retrying and deleting jobs. */
export function jobRoutes(app: App, context: RouteContext): void {
  const { jobs, store, planner, submissions, executors } = context;
  const tags = ['jobs'];
  const rateLimit = { max: submissions, timeWindow: 60_000 };

  app.get(
    '/v1/jobs',
    {
      schema: {
        tags,
        summary: 'Jobs, the newest first',
        querystring: listQuery,
        response: { 200: jobList, ...failures() },
      },
    },
    async ({ query }) => {
      const { state, limit, before } = query;
      const found = jobs
        .list()
        .filter(
          (job) => (state === undefined || job.state === state) && (before === undefined || job.id < before),
        );
      const page = found.slice(0, limit);
      return {
        jobs: page.map((record) => summaryOf(jobs, record)),
        next: found.length > page.length ? (page.at(-1)?.id ?? null) : null,
      };
    },
  );

  app.get(
    '/v1/executors',
    {
      schema: {
        tags,
        summary: 'Executors that a submission may name, and the one of those that name none',
        response: { 200: executorList, ...failures() },
      },
    },
    async () => ({ executors: [...executors.names], default: executors.usual }),
  );

  app.post(
    '/v1/jobs',
    {
      config: { rateLimit },
      schema: {
        tags,
        summary: 'Submit a pipeline',
        body: submission,
        response: { 201: jobDetail, ...failures(413, 415) },
      },
    },
    async ({ body }, reply) => {
      const record = await jobs.submit(submitted(body));
      planner.planJob(record.id);
      reply.code(201).header('location', `/v1/jobs/${record.id}`);
      return detailOf(jobs, store, record);
    },
  );

  app.get(
    '/v1/jobs/:id',
    {
      schema: {
        tags,
        summary: 'A job',
        params: jobParameters,
        response: { 200: jobDetail, ...failures(404) },
      },
    },
    async ({ params }) => detailOf(jobs, store, jobs.get(params.id)),
  );

  app.delete(
    '/v1/jobs/:id',
    {
      schema: {
        tags,
        summary: 'Delete a job and everything in its folder; not while it runs',
        params: jobParameters,
        response: { 204: z.undefined().describe('Gone'), ...failures(404, 409, 415) },
      },
    },
    async ({ params }, reply) => {
      await jobs.remove(params.id);
      reply.code(204);
    },
  );

  app.post(
    '/v1/jobs/:id/cancel',
    {
      schema: {
        tags,
        summary: 'Stop a job, or take it out of the queue; its finished parts stay',
        params: jobParameters,
        response: { 200: jobDetail, ...failures(404, 409, 413, 415) },
      },
    },
    async ({ params }) => detailOf(jobs, store, await jobs.cancel(params.id)),
  );

  app.post(
    '/v1/jobs/:id/retry',
    {
      config: { rateLimit },
      schema: {
        tags,
        summary:
          'Put a job that failed, was cancelled or set input aside back into the queue; it goes on where it was',
        params: jobParameters,
        response: { 200: jobDetail, ...failures(404, 409, 413, 415) },
      },
    },
    async ({ params }) => detailOf(jobs, store, await jobs.retry(params.id)),
  );

  app.get(
    '/v1/jobs/:id/log',
    {
      schema: {
        tags,
        summary: 'Lines of the job’s log',
        params: jobParameters,
        querystring: logQuery,
        response: { 200: logPage, ...failures(404) },
      },
    },
    async ({ params, query }) => {
      jobs.get(params.id);
      const log = jobs.log(params.id);
      await log.refresh();
      const lines = await log.read(query.after, query.limit);
      const last = lines.at(-1)?.line ?? query.after;
      return { lines, next: last < log.lines() ? last : null };
    },
  );
}
