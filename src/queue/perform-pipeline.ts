import { firstLine, TokensieveError } from '../errors.js';
import type { EventSink } from '../parts/events.js';
import type { Storage } from '../storage/storage.js';
import { type AllowedCode, refuseOtherCode } from './allowed-code.js';
import type { PartResult, QueuedStage } from './jobs.js';
import { type OpenStage, openStages } from './open-stages.js';
import { type Performer, UnfitWorker } from './performer.js';
import { runSingleStage } from './stage-process.js';

/** Parts of a shard as a whole that its job's result names. */
const MADE_NAMED = 1_000;

/**
 * The real thing: parts in this process, stages that run once in a process of their own.
 * @param parts in work at once · @param allowed code that queued pipelines may run
 */
export function pipelinePerformer(
  storage: Storage,
  sink: EventSink,
  parts: number,
  allowed: AllowedCode = { folders: [], engines: [] },
): Performer {
  const open = openStages(storage, sink, parts, ({ stage }) => refuseOtherCode(stage, allowed));
  return {
    plan: (stage) =>
      open.use(
        stage,
        async (opened) => {
          const told = { shards: 0, parts: 0, done: 0, text_bytes: 0, done_bytes: 0 };
          const plan = await opened.parts.plan({
            storage,
            sink(event) {
              if (event.event === 'planned') {
                const { event: _, ...planned } = event;
                Object.assign(told, planned);
              }
              opened.sink(event);
            },
            replace: stage.data.rules.replace,
          });
          return { ...plan, told };
        },
        // What a stage of the same settings read when it was opened may have been made again since.
        stage.data.step === 'begin',
      ),
    finish: (stage, signal) =>
      open.use(stage, ({ parts, sink: own }) => parts.finish({ storage, sink: own, signal })),
    part: (stage, part, signal, progress) =>
      useHere(stage, async (opened) => {
        const told: NonNullable<PartResult['made']> = [];
        const made = await opened.parts.make(part, {
          storage,
          signal,
          replace: stage.data.rules.replace,
          sink(event) {
            if (event.event === 'progress') progress(event);
            if (event.event === 'part-done' && told.length < MADE_NAMED) {
              const { event: _, ...done } = event;
              told.push(done);
            }
            opened.sink(event);
          },
        });
        return {
          parts: made.length,
          tokens: made.reduce((sum, { tokens }) => sum + tokens, 0),
          text_bytes: made.reduce((sum, { textBytes }) => sum + textBytes, 0),
          made: told,
        };
      }),
    async single(stage, signal) {
      await refuseOtherCode(stage.stage, allowed);
      return runSingleStage(stage, sink, signal);
    },
    close: () => open.close(),
  };

  /**
   * What was planned elsewhere and cannot be opened or seen here is this machine's fault, not the part's; unless the stage
   * was opened here before what it reads was made again.
   */
  async function useHere<T>(
    stage: QueuedStage,
    act: (opened: OpenStage) => Promise<T>,
    afresh = false,
  ): Promise<T> {
    let isOpen = false;
    try {
      return await open.use(
        stage,
        (opened) => {
          isOpen = true;
          return act(opened);
        },
        afresh,
      );
    } catch (error) {
      if (!(error instanceof TokensieveError) || error.reach !== 'usage') throw error;
      const elsewhere = error.code === 'not-here';
      if (elsewhere && !afresh) return useHere(stage, act, true);
      if (elsewhere || (!isOpen && !['folder-busy', 'code-in-queue'].includes(error.code)))
        throw new UnfitWorker(firstLine(error));
      throw error;
    }
  }
}
