import { basename, dirname } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import {
  artifactList,
  jobParameters,
  partsPage,
  partsQuery,
  quarantinePage,
  quarantineQuery,
  ticket,
  ticketBody,
  ticketQuery,
} from '../api.js';
import { type App, failures } from '../http/app.js';
import { findArtifact, listArtifacts, typeOf } from '../jobs/artifacts.js';
import { isActive } from '../jobs/lifecycle.js';
import { partsOfJob } from '../jobs/parts.js';
import { quarantineOfJob } from '../jobs/quarantine.js';
import { ServiceError } from '../service-error.js';
import type { RouteContext } from './context.js';
import { auditOf, reportOf } from './views.js';

/** Time that sending one file may take. */
const FILE_TIMEOUT_MS = 6 * 3600_000;

/**
 * Files of jobs are made from other people's texts: a browser shows them without the right to anything, their scripts
 * in a world of their own, with no way to ask this service or another.
 */
const SANDBOX =
  "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; frame-ancestors 'self'";

const wildcard = jobParameters.extend({ '*': z.string().max(4096) });

const bytes = (description: string) => ({
  description,
  content: { '*/*': { schema: z.unknown() } },
});
const fileResponses = {
  200: bytes('The file'),
  206: bytes('The part of it that was asked for'),
  304: { description: 'Not changed since', content: { '*/*': { schema: z.unknown() } } },
  ...failures(404, 412, 416),
};

/** What a job has made: parts, rows set aside, files, the report. */
export async function outputRoutes(app: App, context: RouteContext): Promise<void> {
  const { jobs, store, tickets } = context;
  const tags = ['outputs'];
  await app.register(fastifyStatic, { serve: false });

  app.get(
    '/v1/jobs/:id/parts',
    {
      schema: {
        tags,
        summary: 'Parts: done, in work, and known to come',
        params: jobParameters,
        querystring: partsQuery,
        response: { 200: partsPage, ...failures(404) },
      },
    },
    async ({ params, query }) => {
      const record = jobs.get(params.id);
      const log = jobs.log(params.id);
      await log.refresh();
      const parts = await partsOfJob(jobs.parts, record.parts, log.parts, isActive(record.state));
      const { offset, limit } = query;
      return { parts: parts.slice(offset, offset + limit), total: parts.length };
    },
  );

  app.get(
    '/v1/jobs/:id/quarantine',
    {
      schema: {
        tags,
        summary: 'Rows and shards set aside, with reasons',
        params: jobParameters,
        querystring: quarantineQuery,
        response: { 200: quarantinePage, ...failures(404) },
      },
    },
    async ({ params, query }) => {
      const record = jobs.get(params.id);
      const log = jobs.log(params.id);
      await log.refresh();
      return quarantineOfJob(jobs.parts, record.parts, log.brokenShards(), query.limit);
    },
  );

  app.get(
    '/v1/jobs/:id/artifacts',
    {
      schema: {
        tags,
        summary: 'Files of the job',
        params: jobParameters,
        response: { 200: artifactList, ...failures(404) },
      },
    },
    async ({ params }) => listArtifacts(store.files(jobs.get(params.id).id).folder),
  );

  app.get(
    '/v1/jobs/:id/artifacts/*',
    {
      config: { ticket: true },
      handlerTimeout: FILE_TIMEOUT_MS,
      schema: {
        tags,
        summary: 'A file of the job; ranges and ETags as usual',
        params: wildcard,
        querystring: ticketQuery,
        response: fileResponses,
      },
    },
    async (request, reply) => {
      const { id, '*': path } = request.params;
      const { folder } = store.files(jobs.get(id).id);
      const found = await findArtifact(folder, path);
      if (found === null) throw new ServiceError(404, 'no-such-file', `${path}: no such file in this job`);
      return sendFile(reply, folder, found);
    },
  );

  app.get(
    '/v1/jobs/:id/report',
    {
      config: { ticket: true },
      handlerTimeout: FILE_TIMEOUT_MS,
      schema: {
        tags,
        summary: 'The report, a page',
        params: jobParameters,
        querystring: ticketQuery,
        response: fileResponses,
      },
    },
    async (request, reply) => {
      const path = reportOf(store, jobs.get(request.params.id));
      if (path === null) throw new ServiceError(404, 'no-report', 'the job has no report, or not yet');
      return sendFile(reply, dirname(path), basename(path));
    },
  );

  app.get(
    '/v1/jobs/:id/audit',
    {
      config: { ticket: true },
      handlerTimeout: FILE_TIMEOUT_MS,
      schema: {
        tags,
        summary: 'The audit’s numbers, JSON',
        params: jobParameters,
        querystring: ticketQuery,
        response: fileResponses,
      },
    },
    async (request, reply) => {
      const path = auditOf(store, jobs.get(request.params.id));
      if (path === null) throw new ServiceError(404, 'no-audit', 'the job has no audit, or not yet');
      return sendFile(reply, dirname(path), basename(path));
    },
  );

  app.post(
    '/v1/jobs/:id/tickets',
    {
      schema: {
        tags,
        summary: 'An address that a browser may open for five minutes without the token',
        params: jobParameters,
        body: ticketBody,
        response: { 200: ticket, ...failures(404, 413, 415) },
      },
    },
    async ({ params, body }) => {
      const { id } = jobs.get(params.id);
      const path = body?.path;
      if (path !== undefined && (await findArtifact(store.files(id).folder, path)) === null) {
        throw new ServiceError(404, 'no-such-file', `${path}: no such file in this job`);
      }
      const issued = tickets.issue(id);
      const file = path?.split('/').map(encodeURIComponent).join('/');
      return {
        url: `/v1/jobs/${id}/${file === undefined ? 'report' : `artifacts/${file}`}?ticket=${issued.ticket}`,
        expires: issued.expires.toISOString(),
      };
    },
  );
}

/** @param folder of the job, or below it · @param name checked */
function sendFile(reply: FastifyReply, folder: string, name: string): FastifyReply {
  reply.header('content-type', typeOf(name));
  reply.header('content-security-policy', SANDBOX);
  reply.header('x-content-type-options', 'nosniff');
  reply.header('cache-control', 'private, no-cache');
  return reply.sendFile(name, folder, {
    contentType: false,
    cacheControl: false,
    acceptRanges: true,
    etag: true,
    lastModified: true,
    dotfiles: 'deny',
    index: false,
  });
}
