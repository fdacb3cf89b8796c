/** Verdicts from a thread of its own, bounded in time and memory: what passes a bound is not the right answer. */
import { TokensieveError } from '../../errors.js';
import { openWorkerCalls, type WorkerCalls } from '../../flow/worker-calls.js';
import type { OutputRecord } from './records.js';
import type { GradedTaskName } from './tasks.js';
import type { Verdict } from './verdict.js';

export interface GradingRequest {
  readonly id: number;
  readonly task: GradedTaskName;
  readonly output: string;
  readonly right: string;
}

export type GradingReply =
  | { readonly id: number; readonly kind: 'verdict'; readonly verdict: Verdict }
  | { readonly id: number; readonly kind: 'refused'; readonly reason: string }
  | { readonly id: null; readonly kind: 'ready' }
  | { readonly id: number | null; readonly kind: 'failed'; readonly message: string };

/** Time for one pair, ms. */
const MOST_MS = 3000;
/** Heap of the thread, MiB. */
const MOST_HEAP = 256;

export interface Bounded extends Verdict {
  /** Why there is no verdict of the rules, and the score is false. */
  readonly cut: string | null;
}

export interface Grader {
  verdict(record: Pick<OutputRecord, 'output' | 'right'>): Promise<Bounded>;
  close(): Promise<void>;
}

interface GraderOptions {
  readonly mostMs?: number;
  /** Of tests: a thread that does not answer. */
  readonly script?: URL;
}

type Calls = WorkerCalls<Omit<GradingRequest, 'id'>, GradingReply>;

/** One item at a time. The thread is started with the first, and anew after one that ended it. */
export function openGrader(
  task: GradedTaskName,
  { mostMs = MOST_MS, script = new URL('./grading.worker.js', import.meta.url) }: GraderOptions = {},
): Grader {
  let calls: Calls | null = null;
  const end = async (): Promise<void> => {
    const ended = calls;
    calls = null;
    await ended?.close();
  };
  const unbounded = (cut: string): Bounded => ({ extracted: '', right: '', score: false, cut });
  return {
    async verdict({ output, right }) {
      calls ??= await openWorkerCalls<Omit<GradingRequest, 'id'>, GradingReply>(
        script,
        { resourceLimits: { maxOldGenerationSizeMb: MOST_HEAP } },
        (reason) => new TokensieveError('input', 'not-gradable', reason),
      );
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<null>((resolve) => {
        timer = setTimeout(resolve, mostMs, null);
      });
      try {
        const reply = await Promise.race([calls.ask({ task, output, right }), late]);
        if (reply === null) {
          await end();
          return unbounded(`no verdict within ${mostMs / 1000} s`);
        }
        if (reply.kind === 'verdict') return { ...reply.verdict, cut: null };
        return unbounded(reply.kind === 'refused' ? reply.reason : 'the grader failed');
      } catch (error) {
        if (!(error instanceof TokensieveError)) throw error;
        await end();
        return unbounded(error.message);
      } finally {
        clearTimeout(timer);
      }
    },
    close: end,
  };
}
