/**
 * What a run's shards were when its parts were made: sizes, times, entity tags, by name, in a file below the output folder.
 * They tell whether the shards have to be asked again before parts of them are taken for done. Losing the file costs that
 * look; damage to it costs reading the parts again.
 */
import { z } from 'zod';
import { hashJson } from '../json/canonical-json.js';
import { commitBytes } from '../storage/commit-bytes.js';
import { joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';

/** Room for a million shards. */
const MAX_BYTES = 1 << 28;

const noteSchema = z.object({
  version: z.literal(1),
  shards: z.record(z.string(), z.string()),
  digest: z.string(),
});

export interface InputNotes {
  /** What was noted of a shard; null where nothing was. Of a damaged file, what fits no shard. */
  of(shard: string): Promise<string | null>;
  /** Adds to the notes. Writes nothing where they say so already. */
  note(shards: ReadonlyMap<string, string>): Promise<void>;
}

/** @param name of the file, without its ending, in the folder of a run's notes below `out` */
export function openInputNotes(storage: Storage, out: string, name: string): InputNotes {
  const path = joinPath(out, '.workers', `${name}.json`);
  let known: Promise<Map<string, string> | 'damaged'> | undefined;
  let writing: Promise<void> = Promise.resolve();
  const read = async (): Promise<Map<string, string> | 'damaged'> => {
    const { size } = await storage.stat(path).catch(() => ({ size: 0 }));
    if (size === 0) return new Map();
    if (size > MAX_BYTES) return 'damaged';
    const text = Buffer.from(await storage.readRange(path, 0, size)).toString('utf8');
    try {
      const { shards, digest } = noteSchema.parse(JSON.parse(text));
      return digest === hashJson(shards) ? new Map(Object.entries(shards)) : 'damaged';
    } catch {
      return 'damaged';
    }
  };
  const write = async (shards: ReadonlyMap<string, string>): Promise<void> => {
    // Another process may have added to it since.
    const found = await read();
    const all = found === 'damaged' ? new Map<string, string>() : found;
    if ([...shards].every(([shard, note]) => all.get(shard) === note)) return;
    for (const [shard, note] of shards) all.set(shard, note);
    known = Promise.resolve(all);
    const content = Object.fromEntries(all);
    const bytes = Buffer.from(
      `${JSON.stringify({ version: 1, shards: content, digest: hashJson(content) })}\n`,
      'utf8',
    );
    await commitBytes(storage, path, bytes, { onConflict: 'replace' });
  };
  return {
    async of(shard) {
      known ??= read();
      const found = await known;
      return found === 'damaged' ? 'damaged' : (found.get(shard) ?? null);
    },
    async note(shards) {
      known ??= read();
      const found = await known;
      if (found !== 'damaged' && [...shards].every(([shard, note]) => found.get(shard) === note)) return;
      writing = writing.catch(() => undefined).then(() => write(shards));
      await writing;
    },
  };
}
