import type { EventSink } from '../parts/events.js';
import type { NamedParts } from '../parts/named-parts.js';
import { openWorkerNotes } from '../parts/worker-notes.js';
import { isOfParts, openParts } from '../pipeline/open-parts.js';
import { claimFolder } from '../storage/folder-claim.js';
import type { Storage } from '../storage/storage.js';
import type { QueuedStage } from './jobs.js';

/** A stage of parts that this process has open: what it reads, models and sessions, its claim on the output folder. */
export interface OpenStage {
  readonly parts: NamedParts;
  readonly sink: EventSink;
}

export interface OpenStages {
  /**
   * The stage, opened if it is not; it stays open until it is released and another is wanted.
   * @param afresh opened anew: what it reads may be another than when it was opened
   */
  use<T>(stage: QueuedStage, act: (open: OpenStage) => Promise<T>, afresh?: boolean): Promise<T>;
  close(): Promise<void>;
}

interface Entry {
  readonly opened: Promise<OpenStage & { close(): Promise<void> }>;
  users: number;
  /** Whoever leaves last closes it. */
  isRetired: boolean;
}

/** @param lanes parts in work at once · @param judge throws for a stage that is not to be opened */
export function openStages(
  storage: Storage,
  sink: EventSink,
  lanes: number,
  judge: (stage: QueuedStage) => Promise<void>,
): OpenStages {
  const entries = new Map<string, Entry>();
  const close = async ({ opened }: Entry): Promise<void> => {
    await opened.then((stage) => stage.close()).catch(() => undefined);
  };
  const retire = async (id: string, entry: Entry): Promise<void> => {
    if (entries.get(id) === entry) entries.delete(id);
    entry.isRetired = true;
    if (entry.users === 0) await close(entry);
  };
  return {
    async use(stage, act, afresh = false) {
      await judge(stage);
      const before = entries.get(stage.id);
      if (afresh && before !== undefined) await retire(stage.id, before);
      // Models of a stage that nobody is at make room for this one's.
      if (!entries.has(stage.id)) {
        for (const [id, other] of entries) if (other.users === 0) await retire(id, other);
      }
      const entry = entries.get(stage.id) ?? {
        opened: openStage(storage, stage, sink, lanes),
        users: 0,
        isRetired: false,
      };
      entries.set(stage.id, entry);
      entry.users++;
      try {
        return await act(await entry.opened);
      } catch (error) {
        // What did not open is tried afresh by the next job.
        await entry.opened.catch(() => retire(stage.id, entry));
        throw error;
      } finally {
        entry.users--;
        if (entry.isRetired && entry.users === 0) await close(entry);
      }
    },
    async close() {
      for (const [id, entry] of [...entries]) {
        entries.delete(id);
        await close(entry);
      }
    },
  };
}

async function openStage(
  storage: Storage,
  { stage }: QueuedStage,
  onward: EventSink,
  lanes: number,
): Promise<OpenStage & { close(): Promise<void> }> {
  if (!isOfParts(stage)) throw new Error(`stage ${stage.name} (${stage.kind}) is not made of parts`);
  const end = new AbortController();
  const parts = await openParts(stage, { storage, sink: onward, signal: end.signal, queued: true }, lanes);
  try {
    const { out, notes: place = out, kind, identity, folder, handedOn } = parts;
    const claim = await claimFolder(out, identity, storage);
    await storage.sweep?.(folder);
    const worker = { executor: 'queue', kind, recipe: identity, handedOn } as const;
    const notes = await openWorkerNotes(storage, place, worker, onward);
    return {
      parts,
      sink: notes.sink,
      async close() {
        end.abort(new Error('the stage was closed'));
        await notes.close('done');
        await claim.release();
        await parts.close();
      },
    };
  } catch (error) {
    await parts.close();
    throw error;
  }
}
