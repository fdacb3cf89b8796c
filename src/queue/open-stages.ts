import { planShard } from '../corpus/read-shard.js';
import type { ShardPlan } from '../corpus/shard.js';
import { firstLine, TokensieveError } from '../errors.js';
import { hashJson } from '../json/canonical-json.js';
import type { RowStage } from '../pack/make-part.js';
import { openPacking } from '../pack/pack-run.js';
import type { OpenParts } from '../pack/parts-job.js';
import { planOf, readOptions } from '../pack/work.js';
import type { EventSink } from '../parts/events.js';
import { openWorkerNotes } from '../parts/worker-notes.js';
import { openScoring } from '../score/score-run.js';
import { claimFolder } from '../storage/folder-claim.js';
import type { Storage } from '../storage/storage.js';
import type { QueuedStage } from './jobs.js';
import { UnfitWorker } from './performer.js';

/** Footers kept of one stage. */
const KEPT_PLANS = 1_000;

/** A stage of parts that this process has open: tokenizer, models, sessions, its claim on the output folder. */
export interface OpenStage {
  readonly parts: OpenParts;
  readonly sink: EventSink;
  /** The plan of one shard, from its footer. @throws UnfitWorker when this machine does not see it */
  planOf(shard: string): Promise<ShardPlan>;
  /** Sessions that nobody else uses until they are given back. */
  takeLane(): Promise<RowStage>;
  giveLane(lane: RowStage): void;
}

export interface OpenStages {
  /** The stage, opened if it is not; it stays open until it is released and another is wanted. */
  use<T>(stage: QueuedStage, act: (open: OpenStage) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

interface Entry {
  readonly opened: Promise<OpenStage & { close(): Promise<void> }>;
  users: number;
}

/** @param lanes parts in work at once */
export function openStages(storage: Storage, sink: EventSink, lanes: number): OpenStages {
  const entries = new Map<string, Entry>();
  const close = async (id: string, { opened }: Entry): Promise<void> => {
    entries.delete(id);
    await opened.then((stage) => stage.close()).catch(() => undefined);
  };
  return {
    async use(stage, act) {
      let entry = entries.get(stage.id);
      if (entry === undefined) {
        // Models of a stage that nobody is at make room for this one's.
        for (const [id, other] of entries) if (other.users === 0) await close(id, other);
        entry = entries.get(stage.id) ?? { opened: openStage(storage, stage, sink, lanes), users: 0 };
        entries.set(stage.id, entry);
      }
      entry.users++;
      try {
        return await act(await entry.opened);
      } catch (error) {
        // What did not open is tried afresh by the next job.
        await entry.opened.catch(() => entries.delete(stage.id));
        throw error;
      } finally {
        entry.users--;
      }
    },
    async close() {
      for (const [id, entry] of [...entries]) await close(id, entry);
    },
  };
}

async function openStage(
  storage: Storage,
  { stage }: QueuedStage,
  onward: EventSink,
  lanes: number,
): Promise<OpenStage & { close(): Promise<void> }> {
  const options = { storage, sink: onward };
  const parts =
    stage.kind === 'score'
      ? await openScoring(stage.settings, options)
      : stage.kind === 'pack'
        ? await openPacking(stage.settings, options)
        : null;
  if (parts === null) throw new Error(`stage ${stage.name} (${stage.kind}) is not made of parts`);
  const { job } = parts;
  const recipe = hashJson(job.recipe);
  try {
    const claim = await claimFolder(job.settings.out, recipe, storage);
    await storage.sweep?.(job.folder);
    const notes = await openWorkerNotes(
      storage,
      job.settings.out,
      { executor: 'queue', kind: job.kind, recipe },
      onward,
    );
    const shards = new Map(job.shards.map((shard) => [shard.name, shard]));
    const plans = new Map<string, Promise<ShardPlan>>();
    const free: RowStage[] = [];
    return {
      parts,
      sink: notes.sink,
      planOf(name) {
        const shard = shards.get(name);
        if (shard === undefined) {
          throw new UnfitWorker(
            `shard ${name} is not found here: this machine sees other files than the one that planned`,
          );
        }
        const known = plans.get(name);
        if (known !== undefined) return known;
        if (plans.size >= KEPT_PLANS) plans.clear();
        const plan = planShard(storage, shard, readOptions(job.settings)).then(
          (planned) => planOf(planned, job.settings.corpus.limit),
          (error: unknown) => {
            plans.delete(name);
            if (error instanceof TokensieveError && error.reach === 'input')
              throw new UnfitWorker(firstLine(error));
            throw error;
          },
        );
        plans.set(name, plan);
        return plan;
      },
      takeLane: async () => free.pop() ?? (await job.open(lanes)),
      giveLane: (lane) => void free.push(lane),
      async close() {
        await notes.close('done');
        await Promise.all(free.map((lane) => lane.close()));
        await claim.release();
        await parts.close();
      },
    };
  } catch (error) {
    await parts.close();
    throw error;
  }
}
