/**
 * A stage that runs once, in a process of its own: selection and training keep an event loop busy, and the worker's
 * must be free to renew its lease.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { z } from 'zod';
import { fatalError, TokensieveError } from '../errors.js';
import type { EventSink, RunEvent } from '../parts/events.js';
import { type QueuedStage, type StageResult, stageResult } from './jobs.js';

/** Time that a stage has to stop in. */
const STOP_MS = 10_000;

const answerSchema = z.union([
  z.object({ event: z.record(z.string(), z.unknown()) }),
  z.object({ result: stageResult }),
  z.object({
    error: z.object({
      reach: z.enum(['usage', 'fatal', 'input', 'retry']),
      code: z.string(),
      message: z.string(),
    }),
  }),
]);
/** What the process sends. */
export type StageAnswer = z.infer<typeof answerSchema>;

/** @throws TokensieveError as the stage does; `stage-died` (fatal) when its process ends without a word */
export async function runSingleStage(
  { data }: QueuedStage,
  sink: EventSink,
  signal: AbortSignal,
): Promise<StageResult> {
  signal.throwIfAborted();
  const child = fork(new URL('./stage-process-main.js', import.meta.url), [], { execArgv: [] });
  let answer: StageAnswer | null = null;
  const ended = new Promise<string>((resolve) => {
    child.on('exit', (code, by) => resolve(by ?? `code ${code}`));
    child.on('error', (error) => resolve(error.message));
  });
  child.on('message', (message) => {
    const parsed = answerSchema.safeParse(message);
    if (!parsed.success) return;
    if ('event' in parsed.data) sink(parsed.data.event as unknown as RunEvent);
    else answer = parsed.data;
  });
  const stop = (): void => stopChild(child);
  signal.addEventListener('abort', stop, { once: true });
  try {
    child.send({ stages: data.stages, index: data.index, replace: data.rules.replace });
    const how = await ended;
    signal.throwIfAborted();
    const last = answer as StageAnswer | null;
    if (last !== null && 'result' in last) return last.result;
    if (last !== null && 'error' in last) {
      throw new TokensieveError(last.error.reach, last.error.code, last.error.message);
    }
    throw fatalError('stage-died', `stage ${data.index}: its process ended by ${how}`);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function stopChild(child: ChildProcess): void {
  child.kill('SIGTERM');
  setTimeout(() => child.kill('SIGKILL'), STOP_MS).unref();
}
