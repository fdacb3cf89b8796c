import type { ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { jobParameters } from '../api.js';
import { type App, failures } from '../http/app.js';
import type { Jobs } from '../jobs/jobs.js';
import { isFinal } from '../jobs/lifecycle.js';
import { ServiceError } from '../service-error.js';
import type { RouteContext } from './context.js';
import { detailOf } from './views.js';

/** Streams at once: each holds a connection. */
const MAX_STREAMS = 256;
const HEARTBEAT_MS = 15_000;
/** Time between two `progress` events. */
const PROGRESS_MS = 500;
/** Lines read and sent at a time. */
const BATCH = 200;
/** Lines of the past that a client without `Last-Event-ID` is sent. */
const PAST = 1000;

const lastEventId = z.object({
  'last-event-id': z.coerce.number().int().min(0).optional().catch(undefined),
});

/**
 * `GET /v1/jobs/:id/events`: a client is a place in the job's log, which it walks through at its own pace; nothing is
 * held for it. Waking up is all that a change of the job does.
 */
export function eventRoutes(app: App, context: RouteContext): void {
  let streams = 0;
  app.get(
    '/v1/jobs/:id/events',
    {
      // A stream without its body would be open for nothing.
      exposeHeadRoute: false,
      schema: {
        tags: ['jobs'],
        summary:
          'The job as it changes: server-sent events `job`, `progress` and `log`; Last-Event-ID resumes',
        params: jobParameters,
        headers: lastEventId,
        response: {
          200: {
            description: 'Events until the job has ended; ids are line numbers of the log',
            content: { 'text/event-stream': { schema: z.string() } },
          },
          ...failures(404),
        },
      },
    },
    async ({ params, headers }, reply) => {
      context.jobs.get(params.id);
      if (streams >= MAX_STREAMS) {
        throw new ServiceError(
          503,
          'too-many-streams',
          `${MAX_STREAMS} clients are listening; try again later`,
          5,
        );
      }
      streams++;
      reply.hijack();
      const { raw } = reply;
      const left = new AbortController();
      raw.on('close', () => left.abort());
      raw.on('error', () => left.abort());
      try {
        raw.writeHead(200, {
          ...(reply.getHeaders() as Record<string, string>),
          'content-type': 'text/event-stream; charset=utf-8',
          'cache-control': 'no-store',
          'x-accel-buffering': 'no',
        });
        const signal = AbortSignal.any([left.signal, context.stopping]);
        await stream(raw, params.id, headers['last-event-id'], context, signal);
      } catch (error) {
        if (!left.signal.aborted) reply.log.warn({ err: error }, 'an event stream ended');
      } finally {
        streams--;
        raw.end();
      }
    },
  );
}

/** Sends what there is, waits for more, until the job has ended or the client has gone. */
async function stream(
  to: ServerResponse,
  id: string,
  lastSeen: number | undefined,
  { jobs, store }: RouteContext,
  signal: AbortSignal,
): Promise<void> {
  const log = jobs.log(id);
  await log.refresh();
  let at = lastSeen === undefined ? Math.max(0, log.lines() - PAST) : Math.min(lastSeen, log.lines());
  let told: object | null = null;
  let toldProgress = '';
  let progressAt = 0;
  let spokeAt = Date.now();
  const change = createBell(jobs, id);

  const send = async (event: string, data: unknown): Promise<void> => {
    spokeAt = Date.now();
    const text = `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    if (!to.write(text)) await drained(to, signal);
  };

  try {
    while (!signal.aborted) {
      // Taken before looking, so that nothing that happens meanwhile is missed.
      const changed = change.next();
      const record = recordOf(jobs, id);
      if (record === null) return;
      const ended = isFinal(record.state);
      if (ended) await log.refresh();
      if (record !== told && !ended) {
        told = record;
        await send('job', await detailOf(jobs, store, record));
      }
      for (;;) {
        const lines = await log.read(at, BATCH);
        if (lines.length === 0) break;
        if (signal.aborted) return;
        spokeAt = Date.now();
        const sent = lines.map(({ line, event }) => `id: ${line}\nevent: log\ndata: ${textOf(event)}\n\n`);
        if (!to.write(sent.join(''))) await drained(to, signal);
        at = lines.at(-1)?.line ?? at;
      }
      const progress = JSON.stringify(jobs.progress(id));
      const rest = progressAt + PROGRESS_MS - Date.now();
      if (progress !== toldProgress && (rest <= 0 || ended)) {
        toldProgress = progress;
        progressAt = Date.now();
        await send('progress', JSON.parse(progress));
      }
      if (ended) {
        await send('job', await detailOf(jobs, store, record));
        return;
      }
      const due = progress === toldProgress ? spokeAt + HEARTBEAT_MS - Date.now() : rest;
      await Promise.race([changed, pause(Math.max(due, 1), signal)]);
      if (Date.now() - spokeAt >= HEARTBEAT_MS) {
        spokeAt = Date.now();
        if (!to.write(': still here\n\n')) await drained(to, signal);
      }
    }
  } finally {
    change.end();
  }
}

/** Events as they are sent, written once for all who follow. */
const texts = new WeakMap<object, string>();

function textOf(event: object): string {
  const known = texts.get(event);
  if (known !== undefined) return known;
  const text = JSON.stringify(event);
  texts.set(event, text);
  return text;
}

const recordOf = (jobs: Jobs, id: string) => {
  try {
    return jobs.get(id);
  } catch {
    // Deleted meanwhile.
    return null;
  }
};

/** Rings when the job changes. */
function createBell(jobs: Jobs, id: string): { next(): Promise<void>; end(): void } {
  let ring: () => void = () => undefined;
  const end = jobs.watch(id, () => ring());
  return {
    next: () =>
      new Promise((resolve) => {
        ring = resolve;
      }),
    end,
  };
}

const drained = (to: ServerResponse, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const over = (): void => {
      to.off('drain', over);
      signal.removeEventListener('abort', over);
      resolve();
    };
    to.once('drain', over);
    signal.addEventListener('abort', over);
  });

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  wait(ms, undefined, { signal }).catch(() => undefined);
