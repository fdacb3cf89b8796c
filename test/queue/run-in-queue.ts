import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Outcome, type RunningCli, runCli, startCli } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { manySmallParts, quickstartInputs } from '../support/quickstart.js';
import type { TestRedis } from '../support/redis.js';

export interface QueueInputs {
  readonly folder: string;
  /** A pipeline that writes below `folder/name`, and where. */
  pipeline(name: string, stages?: readonly ('pack' | 'score' | 'select')[]): { file: string; out: string };
}

/** Small shards, models of two lines, and pipelines over them. */
export async function queueInputs(folder: string): Promise<QueueInputs> {
  const { reference, current } = await quickstartInputs(join(folder, 'inputs'));
  const shards = await manySmallParts(join(folder, 'corpus'));
  return {
    folder,
    pipeline(name, stages = ['score', 'select']) {
      const out = join(folder, name);
      const rows = `shards: ['${shards}'], sequence: { length: 256 }, corpus: { part_bytes: 8192 }`;
      const lines = {
        pack: `{ ${rows}, tokenizer: { path: ${reference} }, out: ${join(out, 'clm')} }`,
        score: `{ ${rows}, reference: ${reference}, current: ${current}, out: ${join(out, 'slm')}, score: { device: cpu }, run: { threads: 1, cache: ${join(folder, 'cache')} } }`,
        select: `{ run: ${join(out, 'slm')} }`,
      };
      const file = join(folder, `${name}.yaml`);
      writeFileSync(file, `stages:\n${stages.map((kind) => `  - ${kind}: ${lines[kind]}\n`).join('')}`);
      return { file, out };
    },
  };
}

export interface Event {
  readonly event: string;
  readonly [key: string]: unknown;
}

export interface Worker extends RunningCli {
  /** Events so far. */
  readonly events: Event[];
  /** Resolves with the first event of this kind, those gone by included; rejects when the process ends without it. */
  seen(event: string): Promise<Event>;
}

export function environmentOf(redis: TestRedis): NodeJS.ProcessEnv {
  return { ...process.env, TOKENSIEVE_REDIS_URL: redis.url };
}

/** Starts `tokensieve worker` or `enqueue --follow`; its log is read as it comes. */
export function startInQueue(redis: TestRedis, args: readonly string[]): Worker {
  const events: Event[] = [];
  const waiting: { event: string; resolve(event: Event): void; reject(error: Error): void }[] = [];
  const running = startCli([...args, '--log', 'json'], {
    env: environmentOf(redis),
    onLine(line) {
      if (!line.startsWith('{')) return;
      const event = JSON.parse(line) as Event;
      events.push(event);
      for (const one of waiting.filter((waiter) => waiter.event === event.event)) one.resolve(event);
    },
  });
  let end: Error | null = null;
  const onEnd = (how: string): void => {
    end = new Error(`${args[0]} ended without the event that was waited for: ${how}`);
    for (const one of waiting) one.reject(end);
  };
  running.outcome.then(
    ({ code, signal, stderr }) => onEnd(`${signal ?? code}: ${stderr.slice(-2000)}`),
    (error: unknown) => onEnd(String(error)),
  );
  return {
    ...running,
    events,
    seen: (event) =>
      new Promise((resolve, reject) => {
        const before = events.find((one) => one.event === event);
        if (before !== undefined) resolve(before);
        else if (end !== null) reject(end);
        else waiting.push({ event, resolve, reject });
      }),
  };
}

export const startWorker = (redis: TestRedis, ...more: readonly string[]): Worker =>
  startInQueue(redis, ['worker', '--lease', '2', '--grace', '30', ...more]);

/** A short command, in this process (cli-here.ts). */
export async function queueCommand(redis: TestRedis, ...args: readonly string[]): Promise<Outcome> {
  process.env['TOKENSIEVE_REDIS_URL'] = redis.url;
  try {
    return await cliHere(args);
  } finally {
    delete process.env['TOKENSIEVE_REDIS_URL'];
  }
}

/** How often each part was made, over the logs of several processes. */
export function timesMade(workers: readonly Worker[]): Map<string, number> {
  const made = new Map<string, number>();
  for (const { event, shard, part } of workers.flatMap(({ events }) => events)) {
    if (event === 'part-done') made.set(`${shard} ${part}`, (made.get(`${shard} ${part}`) ?? 0) + 1);
  }
  return made;
}

export { runCli };
