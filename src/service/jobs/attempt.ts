import { existsSync } from 'node:fs';
import { appendFile, open, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { AuditCall } from '../pipeline/resolve.js';
import type { JobFiles } from './job-files.js';
import { type Ended, startProcess } from './process.js';

/** One command of an attempt: `run`, then `audit` where there is something to audit. */
export interface Step {
  readonly name: string;
  readonly args: readonly string[];
}

export interface AttemptOptions {
  readonly files: JobFiles;
  /** Announced by its processes; see `process.ts`. */
  readonly attempt: string;
  readonly number: number;
  readonly steps: readonly Step[];
  /** Raised to stop the command in work; no further one is started. */
  readonly signal: AbortSignal;
  /** Time a process has to stop by itself, in milliseconds. */
  readonly graceMs: number;
  /** Called when a process starts, with its id. */
  readonly started: (pid: number | undefined) => void;
}

export interface AttemptEnd extends Ended {
  /** Whether every step was taken and ended by itself. */
  readonly complete: boolean;
  /** Step that the end is of. */
  readonly step: string;
}

const AUDIT_COMMAND = new URL('../../cli/audit.js', import.meta.url);

/** The commands of a job, in order. */
export function stepsOf(files: JobFiles, audit: AuditCall | null): Step[] {
  const run: Step = { name: 'run', args: ['run', files.resolved, '--log', 'json', '--log-every', '1'] };
  if (audit === null || !existsSync(AUDIT_COMMAND)) return [run];
  const { shards, tokenizer } = audit;
  return [
    run,
    {
      name: 'audit',
      args: [
        ...['audit', audit.run, '--out', files.audit, '--log', 'json'],
        ...(shards.length > 0 ? ['--shards', ...shards] : []),
        ...(tokenizer === null ? [] : ['--tokenizer', tokenizer]),
      ],
    },
  ];
}

/** Runs the commands one after another until one does not end well. Exit code 3 (quarantined input) is remembered. */
export async function runAttempt(options: AttemptOptions): Promise<AttemptEnd> {
  const { files, attempt, number, steps, signal, graceMs, started } = options;
  await appendEvent(files, { event: 'attempt', attempt: number });
  let code = 0;
  for (const { name, args } of steps) {
    if (signal.aborted) return { code: null, signal: null, complete: false, step: name };
    if (name !== 'run') await appendEvent(files, { event: 'stage', name, kind: name });
    const process = await startProcess(files, attempt, args);
    started(process.pid);
    const over = new AbortController();
    const stop = (): void => {
      process.interrupt();
      wait(graceMs, undefined, { signal: over.signal }).then(
        () => process.kill(),
        () => undefined,
      );
    };
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const end = await process.ended;
    signal.removeEventListener('abort', stop);
    over.abort();
    if (end.code !== 0 && end.code !== 3) return { ...end, complete: false, step: name };
    code = Math.max(code, end.code);
  }
  return { code, signal: null, complete: true, step: steps.at(-1)?.name ?? '' };
}

/** Writes the pipeline that is run. */
export const writeResolved = (files: JobFiles, settings: object): Promise<void> =>
  writeFile(files.resolved, `${JSON.stringify(settings, null, 2)}\n`);

/** Adds a line to the log. A killed process may have left half a line: it is ended first. */
async function appendEvent(files: JobFiles, event: object): Promise<void> {
  const line = `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`;
  await appendFile(files.log, (await endsInHalfLine(files.log)) ? `\n${line}` : line);
}

async function endsInHalfLine(path: string): Promise<boolean> {
  const handle = await open(path, 'a+');
  try {
    const { size } = await handle.stat();
    if (size === 0) return false;
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
    return buffer[0] !== 10;
  } finally {
    await handle.close();
  }
}
