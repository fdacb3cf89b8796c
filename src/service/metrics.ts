import { readFile } from 'node:fs/promises';
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { App } from './http/app.js';
import type { Jobs } from './jobs/jobs.js';
import { JOB_STATES } from './jobs/lifecycle.js';
import type { ScoringStats } from './scoring/open.js';

/**
 * Prometheus metrics: those of the process (memory, event-loop lag, …) and tokensieve's own. Most are read off when
 * they are asked for; requests are counted as they end.
 */
export function createMetrics(app: App, jobs: Jobs, scoring: () => ScoringStats | null): Registry {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const requests = new Histogram({
    name: 'tokensieve_http_request_seconds',
    help: 'Time to answer requests, by route and status',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60],
    registers,
  });
  app.addHook('onResponse', async (request, reply) => {
    const { url: route = 'none' } = request.routeOptions;
    requests.observe(
      { method: request.method, route, status: String(reply.statusCode) },
      reply.elapsedTime / 1000,
    );
  });

  new Gauge({
    name: 'tokensieve_jobs',
    help: 'Jobs by state',
    labelNames: ['state'] as const,
    registers,
    collect() {
      this.reset();
      for (const state of JOB_STATES) this.set({ state }, 0);
      for (const { state } of jobs.list()) this.inc({ state });
    },
  });

  /** A figure of the jobs at work. */
  const atWork = (name: string, help: string, value: (id: string) => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        const ids = jobs.list().flatMap(({ id, state }) => (state === 'running' ? [id] : []));
        this.set(ids.reduce((sum, id) => sum + value(id), 0));
      },
    });
  };
  atWork('tokensieve_job_tokens_per_second', 'Tokens a second of the jobs at work', (id) => {
    return jobs.progress(id).tokens_per_second ?? 0;
  });
  atWork('tokensieve_job_parts', 'Parts of the stages at work', (id) => jobs.progress(id).parts);
  atWork(
    'tokensieve_job_parts_done',
    'Parts done of the stages at work',
    (id) => jobs.progress(id).parts_done,
  );

  new Gauge({
    name: 'tokensieve_job_resident_memory_bytes',
    help: 'Resident memory of the jobs’ processes (Linux)',
    registers,
    async collect() {
      const sizes = await Promise.all(jobs.pids().map(residentBytes));
      this.set(sizes.reduce((sum, size) => sum + size, 0));
    },
  });

  const ended = (name: string, help: string, value: 'tokens' | 'kept' | 'quarantined_rows'): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(jobs.list().reduce((sum, { totals }) => sum + (totals?.[value] ?? 0), 0));
      },
    });
  };
  ended('tokensieve_tokens', 'Tokens of all jobs kept, as of their last attempt', 'tokens');
  ended('tokensieve_kept_tokens', 'Tokens of weight above 0 of all jobs kept', 'kept');
  ended('tokensieve_quarantined_rows', 'Rows set aside by all jobs kept', 'quarantined_rows');

  addScoring(registers, scoring);
  return registry;
}

/** What scoring tells of itself: sums, refusals by code, and each pair of models. */
function addScoring(registers: Registry[], scoring: () => ScoringStats | null): void {
  const gauge = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    values: (stats: ScoringStats) => readonly (readonly [Record<L, string>, number])[],
  ): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        const stats = scoring();
        for (const [labels, value] of stats === null ? [] : values(stats)) this.set(labels, value);
      },
    });
  };
  gauge('tokensieve_score', 'Figures of scoring requests since the start', ['figure'], (stats) =>
    Object.entries(stats).flatMap(([figure, value]) =>
      typeof value === 'number' ? [[{ figure }, value] as const] : [],
    ),
  );
  gauge('tokensieve_score_refused', 'Scoring requests refused or failed, by code', ['code'], (stats) =>
    Object.entries(stats.refused_requests).map(([code, value]) => [{ code }, value] as const),
  );
  gauge('tokensieve_score_queued_tokens', 'Tokens that wait for a pair of models', ['model'], (stats) =>
    stats.models.map(({ name, queued_tokens }) => [{ model: name }, queued_tokens] as const),
  );
  gauge('tokensieve_score_tokens_per_second', 'Rate of a pair of models while at work', ['model'], (stats) =>
    stats.models.map(({ name, tokens_per_second }) => [{ model: name }, tokens_per_second ?? 0] as const),
  );
}

async function residentBytes(pid: number): Promise<number> {
  try {
    const [, kilobytes = '0'] =
      /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(kilobytes) * 1024;
  } catch {
    // Another system, or over already.
    return 0;
  }
}
