import type { Scorer } from '../../score/scorer.js';

/**
 * The models of a pair in memory, loaded when they are first asked for. They stay until the service stops: loading
 * and unloading sessions again and again leaks memory in the runtime.
 */
export interface LoadedModels {
  get(): Promise<Scorer>;
  loaded(): boolean;
  /** Unloads a scorer that has failed, so that the next call loads the models anew. */
  drop(failed: Scorer): Promise<void>;
  close(): Promise<void>;
}

/** @param open loads the models; called again after it or they have failed */
export function lazyModels(open: () => Promise<Scorer>): LoadedModels {
  let opening: Promise<Scorer> | null = null;
  let ready: Scorer | null = null;
  return {
    get() {
      if (opening !== null) return opening;
      const mine = open();
      opening = mine;
      mine.then(
        (scorer) => {
          ready = scorer;
        },
        () => {
          opening = null;
        },
      );
      return mine;
    },
    loaded: () => ready !== null,
    async drop(failed) {
      if (ready !== failed) return;
      ready = null;
      opening = null;
      await failed.close();
    },
    async close() {
      await opening?.catch(() => undefined);
      const scorer = ready;
      ready = null;
      opening = null;
      await scorer?.close();
    },
  };
}
