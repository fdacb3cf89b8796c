/**
 * Shards that change under a run. What a part's manifest says of its text must be of one file for all parts of a shard, so each
 * shard is looked at before each commit, and held against what the run noted of it when it is taken up again. Where it may have
 * changed, the parts that are done are read again: what tells is their text, not their times.
 */
import { planShard, readShard } from '../corpus/read-shard.js';
import type { ReadOptions, ShardPlan } from '../corpus/shard.js';
import type { Manifest } from '../dataset/manifest.js';
import { fatalError, TokensieveError, usageError } from '../errors.js';
import { listParts } from '../parts/leftovers.js';
import type { Manifests } from '../parts/manifests.js';
import { finishedManifest } from '../parts/part-state.js';
import type { PartsJob } from '../parts/parts-job.js';
import { joinPath } from '../storage/path.js';
import type { ObjectStat, Storage } from '../storage/storage.js';
import { openInputNotes } from './input-notes.js';
import { type Digests, digestRows, sameDigests } from './part-text.js';
import { planOf, type Task } from './work.js';

export interface ShardWatch {
  /**
   * Holds shards against what was noted of them when their parts were made, and notes what they are now.
   * @throws TokensieveError (usage) `shard-changed` where a part that is done is of another file
   */
  begin(plans: readonly ShardPlan[]): Promise<void>;
  /**
   * Looks at a shard of which a part has been read.
   * @throws TokensieveError (fatal) `shard-changed` where that part, or one that is done, is of another file
   */
  look(plan: ShardPlan, part: number, read: Digests): Promise<void>;
}

export interface Watched extends Pick<PartsJob<Task, never, Manifest, never>, 'expected'> {
  readonly storage: Storage;
  readonly out: string;
  readonly kind: Manifest['kind'];
  readonly manifests: Manifests<Manifest>;
  readonly reading: ReadOptions;
  readonly limit: number | undefined;
}

export function watchShards(watched: Watched): ShardWatch {
  const { storage, out, kind, manifests, reading, limit } = watched;
  const notes = openInputNotes(storage, out, `inputs-${kind}`);
  /** Of shards that moved and were found to be the same. */
  const seen = new Map<string, ObjectStat>();

  /** Digests of the shard's parts that are done and of this plan. */
  async function done(plan: ShardPlan): Promise<Map<number, Digests>> {
    const digests = new Map<number, Digests>();
    for (const place of await listParts(storage, manifests, plan.shard.name)) {
      const part = plan.parts?.find((one) => one.part === place.part) ?? null;
      if (plan.parts !== null && part === null) continue;
      const expected = watched.expected({ plan, part }, place.part);
      const manifest = await finishedManifest(storage, manifests, manifests.path(place), expected);
      if (manifest !== null) digests.set(place.part, manifest.input);
    }
    return digests;
  }

  /** The first of the parts that the shard would not give now; null where it gives all. */
  async function otherPart(plan: ShardPlan, digests: ReadonlyMap<number, Digests>): Promise<number | null> {
    if (digests.size === 0) return null;
    const last = Math.max(...digests.keys());
    try {
      const now = planOf(await planShard(storage, plan.shard, reading), limit);
      const { size, footerSha256 } = now.identity;
      const [first = 0] = digests.keys();
      if (size !== plan.identity.size || footerSha256 !== plan.identity.footerSha256) return first;
      let found = 0;
      // A stream is read from its start, and cut into the same parts.
      for await (const one of readShard(storage, now, reading, (part) => digests.has(part))) {
        const expected = digests.get(one.part);
        if (
          expected === undefined ||
          !sameDigests(expected, await digestRows(one.rows, reading.columns.keep))
        )
          return one.part;
        found++;
        if (one.part >= last) break;
      }
      return found === digests.size ? null : last;
    } catch (error) {
      // A shard that cannot be read any more is not the one that was.
      if (!(error instanceof TokensieveError) || error.reach === 'retry') throw error;
      return last;
    }
  }

  return {
    async begin(plans) {
      const moved: ShardPlan[] = [];
      for (const plan of plans) {
        const before = await notes.of(plan.shard.name);
        // Parts that older versions made left no note.
        if (before !== null && before !== notable(plan.identity)) moved.push(plan);
      }
      for (const plan of moved) {
        // A stream is read from its start in any case, and its parts are held against their manifests on the way.
        const other = plan.parts === null ? null : await otherPart(plan, await done(plan));
        if (other === null) continue;
        throw usageError(
          'shard-changed',
          `${plan.shard.path}: is not the file that part ${other} was made from, though it has its size and footer; to make it anew, remove ${joinPath(manifests.folder, plan.shard.name)} and run the command again`,
        );
      }
      await notes.note(new Map(plans.map((plan) => [plan.shard.name, notable(plan.identity)])));
    },
    async look(plan, part, read) {
      const { name, path } = plan.shard;
      const before = seen.get(path) ?? plan.identity;
      // A store that tells versions apart was asked for this one with every read.
      if (before.pin === undefined) return;
      const now = await storage.stat(path).catch(() => null);
      if (now?.pin === before.pin) return;
      const other = now === null ? part : await otherPart(plan, (await done(plan)).set(part, read));
      if (other !== null || now === null) {
        throw fatalError(
          'shard-changed',
          `${path}: changed while it was read; part ${part} is not kept: put the file back that the run began with, or remove ${joinPath(manifests.folder, name)}, and run the command again`,
        );
      }
      seen.set(path, now);
    },
  };
}

/** What is noted of a shard: the same seen from every machine that mounts the disk. */
const notable = ({ etag, pin }: Pick<ObjectStat, 'etag' | 'pin'>): string =>
  pin === undefined ? `etag ${etag ?? 'none'}` : pin.replace(/\d+:(?=\d+$)/, '');
