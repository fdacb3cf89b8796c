import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { followJob, type JobSource } from '../../web/src/api/follow-job.js';
import type { JobDetail, LogLine } from '../../web/src/api/types.js';

// A real server on a real socket, whose streams break in the ways that networks and restarts break them.

const servers: { close(): void; closeAllConnections(): void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

async function serve(handlers: {
  readonly events: Handler;
  readonly job: Handler;
  readonly log?: Handler;
}): Promise<{
  readonly source: JobSource;
  readonly asked: string[];
}> {
  const asked: string[] = [];
  const counts = new Map<string, number>();
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://here').pathname;
    const kind = path === '/events' ? 'events' : path === '/log' ? 'log' : 'job';
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    asked.push(`${request.url} ${request.headers['last-event-id'] ?? ''}`.trim());
    (handlers[kind] ?? ((_, answer) => answer.end('{"lines":[],"next":null}')))(request, response, count);
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ok = async (path: string, init: RequestInit): Promise<Response> => {
    const response = await fetch(base + path, init);
    if (!response.ok) throw new Error(String(response.status));
    return response;
  };
  return {
    asked,
    source: {
      events: (id, signal) => ok('/events', { signal, headers: id === '' ? {} : { 'last-event-id': id } }),
      job: async (signal) => (await (await ok('/job', { signal })).json()) as JobDetail,
      log: async (after, signal) =>
        ((await (await ok(`/log?after=${after}`, { signal })).json()) as { lines: LogLine[] }).lines,
    },
  };
}

function record(): {
  readonly told: string[];
  readonly sink: Parameters<typeof followJob>[1];
} {
  const told: string[] = [];
  return {
    told,
    sink: {
      job: (job) => told.push(`job ${job.state}`),
      progress: (progress) => told.push(`progress ${progress.parts_done}`),
      log: ({ line }) => told.push(`log ${line}`),
      connection: (state) => told.push(state),
    },
  };
}

const timing = { shortest: 5, longest: 20, silence: 60_000 };
const gone = (error: unknown): boolean => (error as Error).message === '404';
const job = (state: string): string => `event: job\ndata: ${JSON.stringify({ state })}\n\n`;
const log = (line: number): string => `id: ${line}\nevent: log\ndata: {"event":"note"}\n\n`;

describe('following a job', () => {
  it('reads the stream to the final state and stops', async () => {
    const { source, asked } = await serve({
      events: (_, response) =>
        response.end(
          [job('running'), log(1), 'event: progress\ndata: {"parts_done":1}\n\n', job('done')].join(''),
        ),
      job: (_, response) => response.end('{}'),
    });
    const { told, sink } = record();
    await followJob(source, sink, new AbortController().signal, gone, timing);
    expect(told).toEqual(['live', 'job running', 'log 1', 'progress 1', 'job done']);
    expect(asked).toEqual(['/events']);
  });

  it('takes a broken stream up where it stopped', async () => {
    const { source, asked } = await serve({
      events: (request, response, count) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        if (count > 1) {
          expect(request.headers['last-event-id']).toBe('2');
          response.end(log(3) + job('done'));
          return;
        }
        // Half of a third line is on its way when the connection goes.
        response.write([job('running'), log(1), log(2), 'id: 3\nevent: log\nda'].join(''));
        setTimeout(() => response.destroy(), 30);
      },
      job: (_, response) => response.end('{"state":"running"}'),
    });
    const { told, sink } = record();
    await followJob(source, sink, new AbortController().signal, gone, timing);
    expect(told.filter((event) => event.startsWith('log'))).toEqual(['log 1', 'log 2', 'log 3']);
    expect(told.at(-1)).toBe('job done');
    expect(asked.filter((path) => path.startsWith('/events'))).toEqual(['/events', '/events 2']);
  });

  it('asks now and then where there is no stream to read', async () => {
    const { source } = await serve({
      events: (_, response) => response.writeHead(502).end(),
      job: (_, response, count) => response.end(`{"state":"${count < 3 ? 'running' : 'quarantined'}"}`),
      log: (request, response) => {
        const after = Number(new URL(request.url ?? '', 'http://here').searchParams.get('after'));
        response.end(
          JSON.stringify({ lines: after < 2 ? [{ line: after + 1, event: {} }] : [], next: null }),
        );
      },
    });
    const { told, sink } = record();
    await followJob(source, sink, new AbortController().signal, gone, timing);
    expect(told).toEqual([
      'polling',
      'log 1',
      'job running',
      'polling',
      'log 2',
      'job running',
      'polling',
      'job quarantined',
    ]);
  });

  it('gives up a stream that has gone silent', async () => {
    const { source } = await serve({
      events: (_, response, count) => {
        response.writeHead(200);
        // The first says something and then nothing, for ever.
        if (count === 1) response.write(job('running'));
        else response.end(job('failed'));
      },
      job: (_, response) => response.end('{"state":"running"}'),
    });
    const { told, sink } = record();
    await followJob(source, sink, new AbortController().signal, gone, { ...timing, silence: 1000 });
    expect(told.at(-1)).toBe('job failed');
  });

  it('waits through a service that is down, and ends where the job is gone', async () => {
    const { source } = await serve({
      events: (_, response, count) => (count < 4 ? response.destroy() : response.writeHead(404).end()),
      job: (_, response, count) => (count < 4 ? response.destroy() : response.writeHead(404).end()),
    });
    const { told, sink } = record();
    await expect(followJob(source, sink, new AbortController().signal, gone, timing)).rejects.toThrow('404');
    expect(told).toEqual(['lost', 'lost', 'lost']);
  });

  it('ends quietly when the view goes', async () => {
    const { source } = await serve({
      events: (_, response) => response.write(job('running')),
      job: (_, response) => response.end('{"state":"running"}'),
    });
    const stop = new AbortController();
    const { told, sink } = record();
    const followed = followJob(source, sink, stop.signal, gone, timing);
    setTimeout(() => stop.abort(), 100);
    await followed;
    expect(told).toEqual(['live', 'job running']);
  });
});
