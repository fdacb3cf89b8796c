import { appendFile, open, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { JobFiles } from './job-files.js';
import { type Ended, type ProcessPlace, startProcess } from './process.js';
import type { Step } from './steps.js';

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
  /** Ids of the processes at work, kept up to date. */
  readonly pids: Set<number>;
}

export interface AttemptEnd extends Ended {
  /** Whether every step was taken and ended by itself. */
  readonly complete: boolean;
  /** Step that the end is of. */
  readonly step: string;
}

/** Runs the commands one after another until one does not end well. Exit code 3 (quarantined input) is remembered. */
export async function runAttempt(options: AttemptOptions): Promise<AttemptEnd> {
  const { files, number, steps, signal } = options;
  await appendEvent(files, { event: 'attempt', attempt: number });
  let code = 0;
  for (const step of steps) {
    const { name } = step;
    if (signal.aborted) return { code: null, signal: null, complete: false, step: name };
    if (name === 'audit') await appendEvent(files, { event: 'stage', name, kind: name });
    const end = await runStep(step, options);
    if (end.code !== 0 && end.code !== 3) return { ...end, complete: false, step: name };
    // What an array sets aside, the run after it finds in the manifests.
    if (name !== 'array') code = Math.max(code, end.code);
  }
  return { code, signal: null, complete: true, step: steps.at(-1)?.name ?? '' };
}

/** Runs the processes of a step to their ends, all of them: what the others make is not in vain when one fails. */
async function runStep({ calls, launcher }: Step, options: AttemptOptions): Promise<Ended> {
  const ends = await Promise.allSettled(
    calls.map((args, i) => runOne(args, { index: calls.length > 1 ? i : null, launcher }, options)),
  );
  let code = 0;
  for (const end of ends) {
    if (end.status === 'rejected') throw end.reason;
    if (end.value.code !== 0 && end.value.code !== 3) return end.value;
    code = Math.max(code, end.value.code);
  }
  return { code, signal: null };
}

async function runOne(
  args: readonly string[],
  place: ProcessPlace,
  { files, attempt, signal, graceMs, pids }: AttemptOptions,
): Promise<Ended> {
  const process = await startProcess(files, attempt, args, place);
  const { pid } = process;
  if (pid !== undefined) pids.add(pid);
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
  if (pid !== undefined) pids.delete(pid);
  return end;
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
