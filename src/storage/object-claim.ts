import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { TokensieveError } from '../errors.js';
import { joinPath, nameOf } from './path.js';
import { isRunning, processSpace } from './process-identity.js';
import type { Storage } from './storage.js';
import { folderBusy, thisWriter, type Writer, type WriterClaim, writerSchema } from './writer.js';

/**
 * Who writes into a folder of an object store: `folder-claim.ts` with small objects for files. A writer rewrites its
 * object while it lives. How long another has been silent is told by the store's own times of both objects, so
 * no clocks of hosts are compared. The recipe is in the object's name: of a thousand writers with one recipe each
 * lists the others and reads none of them.
 */
const HEARTBEAT_MS = 15_000;
/** A writer whose object is older than this, beside a new one, is taken for dead. */
const SILENT_MS = 75_000;
/** Announcements of the same recipe that are looked at to see whether they are left over. */
const SWEPT = 16;

/** @throws TokensieveError `folder-busy` (usage) when a live writer has another recipe */
export async function claimObjects(storage: Storage, folder: string, recipe: string): Promise<WriterClaim> {
  const writers = joinPath(folder, '.writers');
  const mark = createHash('sha256').update(recipe).digest('hex').slice(0, 16);
  const host = hostname().replace(/[^A-Za-z0-9.-]/g, '_');
  const path = joinPath(writers, `${mark}.${host}-${process.pid}-${randomBytes(4).toString('hex')}.json`);
  const self = await thisWriter(recipe);
  const announce = async (): Promise<void> => {
    const file = await storage.stage(path, { onConflict: 'replace' });
    await file.write(Buffer.from(JSON.stringify(self)));
    await file.commit();
  };
  await announce();
  let beat: Promise<void> | null = null;
  const heartbeat = setInterval(() => {
    beat ??= announce()
      .catch(() => undefined)
      .finally(() => {
        beat = null;
      });
  }, HEARTBEAT_MS);
  heartbeat.unref();
  const release = async (): Promise<void> => {
    clearInterval(heartbeat);
    // One that is under way would put the object back.
    await beat;
    await storage.remove(path);
  };
  try {
    const others = (await storage.list(writers, { shallow: true })).filter((other) => other !== path);
    const isSame = (other: string): boolean => nameOf(other).startsWith(`${mark}.`);
    for (const other of others.filter((one) => !isSame(one))) {
      const writer = await liveWriter(storage, path, other);
      if (writer === null) continue;
      throw folderBusy(folder, writer);
    }
    const same = others.filter(isSame);
    const from = Math.floor(Math.random() * same.length);
    for (const other of [...same, ...same].slice(from, from + Math.min(SWEPT, same.length))) {
      await liveWriter(storage, path, other);
    }
  } catch (error) {
    await release().catch(() => undefined);
    throw error;
  }
  return { release };
}

/** The writer that an object announces, or null after removing that of a dead one. */
async function liveWriter(storage: Storage, own: string, path: string): Promise<Writer | null> {
  let writer: Writer;
  let silentMs: number;
  try {
    const now = (await storage.stat(own)).modified;
    const { size, modified } = await storage.stat(path);
    silentMs = now === undefined || modified === undefined ? 0 : now - modified;
    writer = writerSchema.parse(
      JSON.parse(Buffer.from(await storage.readRange(path, 0, size)).toString('utf8')),
    );
  } catch (error) {
    // Removed in the meantime, or not an announcement of ours.
    if (error instanceof TokensieveError && error.reach !== 'input') throw error;
    return null;
  }
  const isHere = writer.host === hostname() && writer.space === processSpace();
  const dead = isHere ? !(await isRunning(writer)) : silentMs >= SILENT_MS;
  if (!dead) return writer;
  await storage.remove(path);
  return null;
}
