import type { PartsPage } from '../api.js';
import type { DonePart, PartsReader } from './manifests.js';
import type { LogEvent } from './progress.js';
import type { PartsFolder } from './record.js';

export type PartView = PartsPage['parts'][number];

/** What a log says of parts: those that were begun, and how long the done ones took. */
export interface PartEvents {
  add(event: LogEvent): void;
  /** Begun and not done, of the stage in work. */
  running(): readonly { readonly kind: PartView['kind']; readonly shard: string; readonly part: number }[];
  seconds(kind: PartView['kind'], shard: string, part: number): number | null;
}

/** What stages of a kind make; other kinds make no parts. */
const MADE_BY: Readonly<Record<string, PartView['kind']>> = {
  score: 'scored',
  select: 'weighted',
  pack: 'packed',
};

/** Parts remembered of one log. */
const MAX_PARTS = 100_000;

/** A part that was begun. `by` is the process of an array that is at it. */
interface Begun extends Pick<PartView, 'kind' | 'shard' | 'part'> {
  readonly by: unknown;
}

export function createPartEvents(): PartEvents {
  const begun = new Map<string, Begun>();
  const took = new Map<string, number>();
  /** What the stage in work makes: of each process of an array, or of the only one. */
  const kinds = new Map<unknown, PartView['kind'] | undefined>();
  return {
    add(event) {
      const { array_index: by, shard, part, seconds } = event;
      if (event.event === 'attempt' || event.event === 'stage') {
        if (typeof by !== 'number') kinds.clear();
        for (const [key, one] of begun) if (typeof by !== 'number' || one.by === by) begun.delete(key);
        if (kinds.size < MAX_PARTS) kinds.set(by, MADE_BY[String(event['kind'])]);
      }
      const kind = kinds.get(by);
      if (kind === undefined || typeof shard !== 'string' || typeof part !== 'number') return;
      const key = keyOf(kind, shard, part);
      if (event.event === 'part-started' && begun.size < MAX_PARTS) begun.set(key, { kind, shard, part, by });
      if (event.event === 'part-given-up') begun.delete(key);
      if (event.event !== 'part-done') return;
      begun.delete(key);
      if (typeof seconds === 'number' && took.size < MAX_PARTS) took.set(key, seconds);
    },
    running: () => [...begun.values()].map(({ kind, shard, part }) => ({ kind, shard, part })),
    seconds: (of, shard, part) => took.get(keyOf(of, shard, part)) ?? null,
  };
}

const keyOf = (kind: PartView['kind'], shard: string, part: number): string => `${kind} ${part} ${shard}`;

/** Every part of a job that is done, in work, or known to come: scored parts come as weighted ones too. */
export async function partsOfJob(
  reader: PartsReader,
  folders: readonly PartsFolder[],
  events: PartEvents,
  isAtWork: boolean,
): Promise<readonly PartView[]> {
  const views: PartView[] = [];
  let scored: readonly DonePart[] = [];
  for (const folder of folders) {
    const done = await reader.read(folder);
    views.push(...done.map((part) => doneView(part, events)));
    if (folder.kind === 'scored') scored = done;
    if (folder.kind === 'weighted') {
      const weighted = new Set(done.map(({ shard, part }) => keyOf('weighted', shard, part)));
      const coming = scored.filter(({ shard, part }) => !weighted.has(keyOf('weighted', shard, part)));
      views.push(...coming.map(({ shard, part }) => openView(shard, part, 'weighted', 'waiting')));
    }
  }
  if (!isAtWork) return views;
  // A part that is done stays done while it is looked at again; one that waits may be in work by now.
  const done = new Set(
    views.flatMap(({ kind, shard, part, state }) => (state === 'done' ? keyOf(kind, shard, part) : [])),
  );
  const running = events.running().filter(({ kind, shard, part }) => !done.has(keyOf(kind, shard, part)));
  const atWork = new Set(running.map(({ kind, shard, part }) => keyOf(kind, shard, part)));
  return [
    ...running.map(({ kind, shard, part }) => openView(shard, part, kind, 'running')),
    ...views.filter(({ kind, shard, part }) => !atWork.has(keyOf(kind, shard, part))),
  ];
}

const doneView = ({ kind, shard, part, counts }: DonePart, events: PartEvents): PartView => ({
  shard,
  part,
  kind,
  state: 'done',
  tokens: counts.tokens,
  documents: counts.documents,
  kept: counts.kept ?? null,
  quarantined_rows: counts.quarantined_rows,
  seconds: events.seconds(kind, shard, part),
});

const openView = (
  shard: string,
  part: number,
  kind: PartView['kind'],
  state: 'running' | 'waiting',
): PartView => ({
  shard,
  part,
  kind,
  state,
  tokens: null,
  documents: null,
  kept: null,
  quarantined_rows: null,
  seconds: null,
});
