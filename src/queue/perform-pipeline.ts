import { firstLine, TokensieveError } from '../errors.js';
import { doTask } from '../pack/do-task.js';
import { planParts } from '../pack/parts-run.js';
import { partTask, type Task } from '../pack/work.js';
import type { EventSink } from '../parts/events.js';
import type { Storage } from '../storage/storage.js';
import type { PartResult, QueuedStage } from './jobs.js';
import { type OpenStage, openStages } from './open-stages.js';
import { type PartRef, type Performer, UnfitWorker } from './performer.js';
import { runSingleStage } from './stage-process.js';

/** Parts of a jsonl shard that its job's result names. */
const MADE_NAMED = 1_000;

/** The real thing: parts of `score` and `pack` in this process, stages that run once in a process of their own. */
export function pipelinePerformer(storage: Storage, sink: EventSink, parts: number): Performer {
  const open = openStages(storage, sink, parts);
  return {
    plan: (stage) =>
      open.use(stage, async ({ parts: { job }, sink: stageSink }) => {
        const told = { shards: 0, parts: 0, done: 0, text_bytes: 0, done_bytes: 0 };
        const { work, broken } = await planParts(job, {
          storage,
          sink(event) {
            if (event.event === 'planned') {
              const { event: _, ...planned } = event;
              Object.assign(told, planned);
            }
            stageSink(event);
          },
          signal: new AbortController().signal,
          replace: stage.data.rules.replace,
        });
        return {
          left: work.tasks.map((task) => refOf(task, job.recipe)),
          told,
          broken: broken.length,
          quarantined: work.done.some(({ counts }) => Object.keys(counts.quarantined).length > 0),
        };
      }),
    finish: (stage) => open.use(stage, ({ parts: { finish } }) => finish()),
    part: (stage, part, signal, progress) =>
      useHere(stage, async (opened) => {
        const { job } = opened.parts;
        const task = await taskHere(opened, part);
        const lane = await opened.takeLane();
        const told: NonNullable<PartResult['made']> = [];
        try {
          const made = await doTask(job, task, lane, {
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
          opened.giveLane(lane);
          const sum = (value: (counts: (typeof made)[number]['counts']) => number): number =>
            made.reduce((total, { counts }) => total + value(counts), 0);
          return {
            parts: made.length,
            tokens: sum((c) => c.tokens),
            text_bytes: sum((c) => c.text_bytes),
            made: told,
          };
        } catch (error) {
          // A session that failed is not asked again.
          await lane.close().catch(() => undefined);
          throw error;
        }
      }),
    single: (stage, signal) => runSingleStage(stage, sink, signal),
    close: () => open.close(),
  };

  /** What was planned elsewhere and cannot be opened here is this machine's fault, not the part's. */
  async function useHere<T>(stage: QueuedStage, act: (opened: OpenStage) => Promise<T>): Promise<T> {
    let isOpen = false;
    try {
      return await open.use(stage, (opened) => {
        isOpen = true;
        return act(opened);
      });
    } catch (error) {
      const usage =
        error instanceof TokensieveError && error.reach === 'usage' && error.code !== 'folder-busy';
      if (!isOpen && usage) throw new UnfitWorker(firstLine(error));
      throw error;
    }
  }
}

const refOf = (task: Task, recipe: Parameters<typeof partTask>[3]): PartRef => ({
  shard: task.plan.shard.name,
  part: task.part?.part ?? null,
  fingerprint: partTask(task.plan, task.part?.part ?? 0, task.part?.rowStart ?? null, recipe).fingerprint,
});

/**
 * The task that a part's job means, as this machine sees it.
 * @throws UnfitWorker when it would make another part than was planned: another shard, model, tokenizer or device
 */
async function taskHere(opened: OpenStage, part: PartRef): Promise<Task> {
  const plan = await opened.planOf(part.shard);
  const planned = part.part === null ? null : plan.parts?.find((one) => one.part === part.part);
  const task = planned === undefined ? null : { plan, part: planned };
  if (task !== null && refOf(task, opened.parts.job.recipe).fingerprint === part.fingerprint) return task;
  throw new UnfitWorker(
    `${part.shard} part ${part.part ?? 0}: would be another part here than was planned; the shard, a model, the tokenizer or the kind of device is not the planner's`,
  );
}
