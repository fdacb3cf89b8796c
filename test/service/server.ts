import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { cliPath } from '../support/cli.js';

export interface RunningService {
  readonly url: string;
  readonly child: ChildProcess;
  /** Everything written to stdout and stderr so far. */
  output(): string;
  /** Sends a signal and waits for the end; the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

const running = new Set<ChildProcess>();

/** Ends what a failed test has left running. */
export function killServices(): void {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
}

/** Starts `tokensieve serve` as a process of its own, on a free port. */
export async function startService(root: string, ...more: readonly string[]): Promise<RunningService> {
  mkdirSync(root, { recursive: true });
  const args = ['serve', '--root', root, '--port', '0', '--no-plans', ...more];
  const child = spawn(process.execPath, [cliPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', (code) => resolve(code)));
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      const [, found] = /serves on (\S+)/.exec(output) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.on('close', (code) => reject(new Error(`serve ended with ${code}: ${output}`)));
  });
  running.add(child);
  return {
    url,
    child,
    output: () => output,
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests say what they expect
  readonly body: any;
}

export type Ask = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Answer>;

/** A client of a service; bodies that are JSON are parsed. */
export const asking =
  (url: string, token?: string): Ask =>
  async (method, path, body, headers = {}) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
    return {
      status: response.status,
      headers: response.headers,
      body: isJson && method !== 'HEAD' ? JSON.parse(text) : text,
    };
  };

/** Asks until the job is in one of the states. */
export async function until(ask: Ask, id: string, ...states: readonly string[]): Promise<Answer['body']> {
  for (;;) {
    const { body } = await ask('GET', `/v1/jobs/${id}`);
    if (states.includes(body.state)) return body;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Settings of a small scoring run over inputs below a root. */
export const smallJob = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  shards: ['corpus/**/*.{parquet,jsonl.gz}'],
  reference: 'inputs/models/reference',
  current: 'inputs/models/current',
  sequence: { length: 256 },
  corpus: { part_bytes: 8192, keep: ['url'] },
  score: { device: 'cpu' },
  run: { threads: 1, cache: 'cache' },
  select: { method: 'slm', keep: 0.5 },
  ...more,
});

export interface StreamEvent {
  readonly id: number | null;
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests say what they expect
  readonly data: any;
}

/** The events of a stream as they come, until it ends or the caller has enough. */
export async function* streamOf(
  url: string,
  headers: Record<string, string> = {},
): AsyncGenerator<StreamEvent, void, undefined> {
  const left = new AbortController();
  const response = await fetch(url, { headers, signal: left.signal });
  if (response.body === null) throw new Error('no body');
  let held = '';
  try {
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const blocks = (held + chunk).split('\n\n');
      held = blocks.pop() ?? '';
      for (const block of blocks) {
        const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]));
        const id = fields.get('id');
        const event = fields.get('event');
        if (event === undefined) continue;
        yield {
          id: id === undefined ? null : Number(id),
          event,
          data: JSON.parse(fields.get('data') ?? 'null'),
        };
      }
    }
  } finally {
    left.abort();
  }
}
