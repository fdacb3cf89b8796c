/**
 * Real storage for writers that share a folder in one process, with faults: every call on the folder waits for its
 * writer's turn, and may fail or be the last that its writer ever makes, before or after it has its effect.
 */
import { setImmediate } from 'node:timers/promises';
import { fatalError } from '#tokensieve/errors.js';
import type { StagedFile, Storage } from '#tokensieve/storage/storage.js';

export interface Fault {
  /** Which of the writer's calls, from 0. */
  readonly call: number;
  /** `fail`: the call throws. `die`: it never returns, and neither does any later one, as in a killed process. */
  readonly kind: 'fail' | 'die';
  /** After: the call has its effect first, as when a rename is done and the answer is lost. */
  readonly when: 'before' | 'after';
}

export interface Turn {
  readonly writer: number;
  /** What the call does: `commit 00000.manifest.json`. */
  readonly what: string;
}

interface Waiting extends Turn {
  go(): Promise<void>;
}

export class Injected extends Error {}

/** Files of the dead stay open, as nobody closes them: kept, so that the collector does not come upon them. */
const kept: StagedFile[] = [];

/** Never settles. */
const never = (): Promise<never> => new Promise(() => undefined);

/** The turns of several writers over one folder. */
export function openTurns(folder: string) {
  const waiting: Waiting[][] = [];
  const settled: boolean[] = [];
  const landed: string[] = [];

  /** The storage of writer `writer`. `onDeath` is called in its place of a return. */
  function storageFor(
    writer: number,
    inner: Storage,
    faults: readonly Fault[],
    onDeath: () => void,
  ): Storage {
    const queue: Waiting[] = [];
    waiting[writer] = queue;
    let calls = 0;
    let dead = false;
    const call = <T>(verb: string, path: string, act: () => Promise<T>): Promise<T> => {
      if (!path.startsWith(folder)) return act();
      if (dead) return never();
      return new Promise<T>((resolve, reject) => {
        const what = `${verb} ${path.slice(path.lastIndexOf('/') + 1)}`;
        queue.push({
          writer,
          what,
          async go() {
            if (dead) return;
            const fault = faults.find((one) => one.call === calls);
            calls++;
            const strike = (): void => {
              landed.push(`${fault?.kind} ${fault?.when} ${what.replace(/\d{5}/, 'N')}`);
              if (fault?.kind === 'die') {
                dead = true;
                onDeath();
              } else reject(fatalError('injected', `${path}: injected fault`, { cause: new Injected() }));
            };
            if (fault?.when === 'before') return strike();
            try {
              const result = await act();
              if (fault === undefined) resolve(result);
              else strike();
            } catch (error) {
              reject(error);
            }
          },
        });
      });
    };
    const { sizes } = inner;
    return {
      stat: (path) => call('stat', path, () => inner.stat(path)),
      readRange: (path, start, end) => call('read', path, () => inner.readRange(path, start, end)),
      list: (at, options) => call('list', at, () => inner.list(at, options)),
      ...(sizes && { sizes: (at) => call('sizes', at, () => sizes(at)) }),
      remove: (path) => call('remove', path, () => inner.remove(path)),
      async stage(path) {
        const file = await call('stage', path, async () => {
          const opened = await inner.stage(path);
          kept.push(opened);
          return opened;
        });
        return {
          path,
          write: (bytes) => call('write', path, () => file.write(bytes)),
          commit: () => call('commit', path, () => file.commit()),
          abort: () => call('abort', path, () => file.abort()),
        };
      },
    };
  }

  /**
   * Runs the writers to their ends, one call at a time; `order` says whose turn it is, over and over.
   * @param after called after each call that was made
   */
  async function run(
    writers: readonly Promise<unknown>[],
    order: readonly number[],
    after: (turn: Turn) => void,
  ): Promise<void> {
    for (const [i, writer] of writers.entries()) {
      settled[i] = false;
      const end = (): void => {
        settled[i] = true;
      };
      writer.then(end, end);
    }
    for (let turn = 0; settled.some((one) => !one); turn++) {
      const living = writers.flatMap((_, i) => (settled[i] ? [] : [i]));
      const writer = living[(order[turn % order.length] ?? 0) % living.length] ?? 0;
      // Between calls a writer computes; it is waited for, so that the order is that of `order` and nothing else.
      while (settled[writer] === false && waiting[writer]?.length === 0) await setImmediate();
      const next = waiting[writer]?.shift();
      if (next === undefined) continue;
      await next.go();
      after(next);
      await setImmediate();
    }
  }

  return { storageFor, run, landed };
}
