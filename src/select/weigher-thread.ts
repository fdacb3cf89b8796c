/** A weigher in a thread of its own. Parts go there by their manifests; what comes back is plain data, but for the file. */
import type { FinishedPart } from '../dataset/finished-parts.js';
import type { Manifest } from '../dataset/manifest.js';
import { fatalError, type Reach, TokensieveError } from '../errors.js';
import { openWorkerCalls, type WorkerReply } from '../flow/worker-calls.js';
import type { RoutedOptions } from '../storage/routed.js';
import type { PartSums } from './diagnosis/batch-tally.js';
import { partKey } from './part-source.js';
import type { Prepared, Reading, Step } from './preparation.js';
import type { SelectionSettings } from './settings.js';
import type { SelectionStatistics } from './statistics.js';
import type { Weigher, WeighingRules } from './weigher.js';

/** What a thread starts with. */
export interface ThreadData {
  readonly settings: SelectionSettings;
  readonly rules: WeighingRules;
  readonly storage: RoutedOptions;
}

export type ThreadRequest =
  | { readonly kind: 'read'; readonly part: FinishedPart; readonly step: Step }
  | {
      readonly kind: 'weigh';
      readonly part: FinishedPart;
      readonly fingerprint: string;
      readonly prepared: Prepared;
    }
  | { readonly kind: 'commit' | 'abort'; readonly file: number }
  | { readonly kind: 'stop' };

export type ThreadReply =
  | WorkerReply
  | { readonly id: number; readonly kind: 'read'; readonly reading: Reading }
  | {
      readonly id: number;
      readonly kind: 'weighed';
      readonly manifest: Manifest;
      readonly statistics: SelectionStatistics;
      readonly sums: PartSums;
      /** Number of the staged file, which stays open in the thread. */
      readonly file: number;
    }
  | { readonly id: number; readonly kind: 'done' }
  | {
      readonly id: number;
      readonly kind: 'refused';
      readonly reach: Reach;
      readonly code: string;
      readonly message: string;
    };

/** A note on the way, of tokens weighed since the last one. */
export interface ThreadNote {
  readonly kind: 'note';
  readonly tokens: number;
}

/**
 * @throws TokensieveError fatal `select-thread` when the thread fails or ends by itself
 */
export async function weigherThread(data: ThreadData): Promise<Weigher> {
  let tellNow: (tokens: number) => void = () => undefined;
  const calls = await openWorkerCalls<ThreadRequest, ThreadReply>(
    new URL('./weigher.worker.js', import.meta.url),
    { workerData: data },
    (reason) =>
      fatalError('select-thread', `a thread of the selection ended: ${reason}; run the command again`),
    (note) => tellNow((note as ThreadNote).tokens),
  );
  const stop = (): void => void calls.ask({ kind: 'stop' }).catch(() => undefined);
  const ask = async (request: ThreadRequest, signal?: AbortSignal): Promise<ThreadReply> => {
    signal?.throwIfAborted();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      const reply = await calls.ask(request);
      if (reply.kind !== 'refused' || !('reach' in reply)) return reply;
      // Where the thread stopped because this one said so, the reason is here.
      signal?.throwIfAborted();
      throw new TokensieveError(reply.reach, reply.code, reply.message);
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  };
  const unexpected = (reply: ThreadReply): Error =>
    fatalError('select-thread', `a thread of the selection answered ${reply.kind}; run the command again`);
  return {
    async read(part, step, signal) {
      const reply = await ask({ kind: 'read', part, step }, signal);
      if (reply.kind === 'read' && 'reading' in reply) return reply.reading;
      throw unexpected(reply);
    },
    async weigh(part, fingerprint, prepared, { signal, tell }) {
      tellNow = tell;
      const own = ofPart(prepared, part);
      const reply = await ask({ kind: 'weigh', part, fingerprint, prepared: own }, signal);
      if (reply.kind !== 'weighed' || !('sums' in reply)) throw unexpected(reply);
      const { manifest, statistics, sums, file } = reply;
      const finish = (kind: 'commit' | 'abort') => async (): Promise<void> =>
        void (await ask({ kind, file }));
      return { manifest, statistics, sums, file: { commit: finish('commit'), abort: finish('abort') } };
    },
    close: () => calls.close(),
  };
}

/** The part's own share of what was prepared: a data set may have thousands of parts. */
function ofPart({ cuts, fitted }: Prepared, { manifest }: FinishedPart): Prepared {
  const key = partKey(manifest);
  const own = cuts?.get(key);
  return { cuts: cuts === null ? null : new Map(own === undefined ? [] : [[key, own]]), fitted };
}
