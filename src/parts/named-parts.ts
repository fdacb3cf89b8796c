/** A job whose parts are asked for one by one, by name: how the workers of a queue make them, each whichever it gets. */
import { usageError } from '../errors.js';
import { doTask } from './do-task.js';
import { keptOfAll } from './kept-of-all.js';
import type { AnyManifest } from './manifests.js';
import type { Lane, MakingContext, PartFigures, PartsJob, PartsOptions, TaskPlace } from './parts-job.js';
import { planParts } from './run-parts.js';

/** A part to be made, as a plan names it; `part` is null for a shard whose parts only reading tells. */
export interface NamedPart extends TaskPlace {
  /** What it must be made of. */
  readonly fingerprint: string;
}

/** What a job comes to, from one listing of its folder. */
export interface NamedPlan {
  /** What is left to do. Shards whose parts only reading tells are always among it: whoever gets one passes over what is done. */
  readonly left: readonly NamedPart[];
  /** Shards that could not be planned. */
  readonly broken: number;
  /** Rows were set aside in parts that are done. */
  readonly quarantined: boolean;
}

export interface NamedParts
  extends Pick<
    PartsJob<never, Lane, AnyManifest, never>,
    'kind' | 'out' | 'notes' | 'identity' | 'handedOn'
  > {
  /** Of the parts. */
  readonly folder: string;
  plan(options: Omit<PartsOptions, 'signal' | 'share'>): Promise<NamedPlan>;
  /**
   * Makes the part, unless it is there.
   * @returns what each of its parts counts
   * @throws TokensieveError (usage) `not-here` when it would be another part here than was planned
   */
  make(
    part: NamedPart,
    options: MakingContext & { readonly replace: boolean },
  ): Promise<readonly PartFigures[]>;
  /** After the last part of all. */
  finish(context: MakingContext): Promise<void>;
  close(): Promise<void>;
}

/** @param lanes parts in work at once in this process */
export function namedParts<Task, L extends Lane, M extends AnyManifest, Kept>(
  job: PartsJob<Task, L, M, Kept>,
  lanes: number,
): NamedParts {
  const free: L[] = [];
  const end = new AbortController();
  const nameOf = (task: Task): NamedPart => {
    const place = job.placeOf(task);
    return { ...place, fingerprint: job.expected(task, place.part ?? 0).fingerprint };
  };
  const taskHere = async (part: NamedPart): Promise<Task> => {
    const task = await job.taskAt(part);
    if (task !== null && nameOf(task).fingerprint === part.fingerprint) return task;
    throw usageError(
      'not-here',
      `${part.shard} part ${part.part ?? 0}: would be another part here than was planned; the shard, a model, the tokenizer or the kind of device is not the planner's`,
    );
  };
  return {
    kind: job.kind,
    out: job.out,
    notes: job.notes ?? job.out,
    identity: job.identity,
    handedOn: job.handedOn ?? false,
    folder: job.manifests.folder,
    async plan(options) {
      const { work, plan } = await planParts(job, options);
      return {
        left: work.tasks.map(nameOf),
        broken: plan.broken.length,
        quarantined: work.done.some(({ kept }) => job.quarantined(kept)),
      };
    },
    async make(part, options) {
      const task = await taskHere(part);
      const lane = free.pop() ?? (await job.open(lanes, end.signal));
      try {
        const made = await doTask(job, task, lane, options);
        free.push(lane);
        return made.map((manifest) => job.figures(manifest, task));
      } catch (error) {
        // A session that failed is not asked again.
        await lane.close().catch(() => undefined);
        throw error;
      }
    },
    async finish(context) {
      const all = async () => {
        const { tasks } = await job.plan(() => undefined);
        return keptOfAll(job, tasks, new Map(), context.storage);
      };
      await job.finish?.(context, all);
    },
    async close() {
      end.abort(new Error('the stage was closed'));
      await Promise.all(free.map((lane) => lane.close()));
    },
  };
}
