/**
 * Pipelines that strangers send as text, parsed in a thread of their own: the event loop goes on, and a parser that takes
 * too long is ended with its thread.
 */
import pLimit from 'p-limit';
import type { Settings } from '../../config/load.js';
import { type Reach, TokensieveError, usageError } from '../../errors.js';
import { openWorkerCalls, type WorkerCalls } from '../../flow/worker-calls.js';

/** Time for one pipeline; one of a megabyte takes a second or two. */
const LIMIT_MS = 10_000;
/** Pipelines that wait their turn; more are refused. */
const MAX_WAITING = 32;

export interface ParseRequest {
  readonly text: string;
}
export type ParseReply =
  | { readonly id: number; readonly kind: 'settings'; readonly settings: Settings }
  | {
      readonly id: number;
      readonly kind: 'refused';
      readonly reach: Reach;
      readonly code: string;
      readonly message: string;
    };

export interface PipelineParser {
  /** @throws TokensieveError as `parsePipelineText`; (retry) `too-many-pipelines` */
  parse(text: string): Promise<Settings>;
  close(): Promise<void>;
}

export function createParser(limitMs = LIMIT_MS): PipelineParser {
  const turn = pLimit(1);
  let thread: Promise<WorkerCalls<ParseRequest, ParseReply>> | null = null;
  const open = (): Promise<WorkerCalls<ParseRequest, ParseReply>> => {
    thread ??= openWorkerCalls<ParseRequest, ParseReply>(
      new URL('./parser.worker.js', import.meta.url),
      { resourceLimits: { maxOldGenerationSizeMb: 256 } },
      () =>
        usageError(
          'pipeline-unreadable',
          'pipeline: takes too long or too much memory to read; make it smaller',
        ),
    );
    return thread;
  };
  const drop = async (): Promise<void> => {
    const before = thread;
    thread = null;
    await before?.then((calls) => calls.close()).catch(() => undefined);
  };

  const ask = async (text: string): Promise<ParseReply> => {
    const calls = await open();
    const timer = setTimeout(() => void drop(), limitMs);
    try {
      return await calls.ask({ text });
    } catch (error) {
      await drop();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    async parse(text) {
      if (turn.pendingCount >= MAX_WAITING) {
        throw new TokensieveError(
          'retry',
          'too-many-pipelines',
          'too many pipelines are being read; try again later',
        );
      }
      const reply = await turn(() => ask(text));
      if (reply.kind === 'settings') return reply.settings;
      throw new TokensieveError(reply.reach, reply.code, reply.message);
    },
    close: drop,
  };
}
