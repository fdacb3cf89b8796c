import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { usageError } from '../errors.js';
import { claimObjects } from './object-claim.js';
import { isUrl } from './path.js';
import { isRunning, startOfProcess } from './process-identity.js';
import type { Storage } from './storage.js';
import { type Writer, type WriterClaim, writerSchema } from './writer.js';

export type { WriterClaim } from './writer.js';

/**
 * Who writes into an output folder. Writers with one recipe may share a folder: each part they both make is the
 * same bytes, committed by rename, so the worst outcome is work done twice. Writers with different recipes
 * would leave one's data under the other's manifest, so the later one is refused.
 *
 * Each writer keeps a file of its own, touched while it lives; it is read by the others, never shared, so
 * there is nothing to corrupt. A writer announces itself before it looks at the others: of two that start at
 * once at least one sees the other.
 */
const HEARTBEAT_MS = 10_000;
/** A writer on another host whose file is older than this is taken for dead. */
const SILENT_MS = 60_000;

/**
 * Announces this process as a writer of `folder`.
 * @param recipe hash of everything that determines the bytes written
 * @param storage of folders that are not local; without it these are refused (`not-local`, usage)
 * @throws TokensieveError `folder-busy` (usage) when a live writer has another recipe
 */
export async function claimFolder(folder: string, recipe: string, storage?: Storage): Promise<WriterClaim> {
  if (isUrl(folder)) {
    if (storage === undefined) {
      throw usageError(
        'not-local',
        `${folder}: this command writes to local folders only; choose another --out`,
      );
    }
    return claimObjects(storage, folder, recipe);
  }
  const writers = join(folder, '.writers');
  await mkdir(writers, { recursive: true });
  const name = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}.json`;
  const path = join(writers, name);
  const self: Writer = {
    host: hostname(),
    pid: process.pid,
    started: await startOfProcess(process.pid),
    recipe,
  };
  await writeFile(path, JSON.stringify(self));
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  heartbeat.unref();
  const release = async (): Promise<void> => {
    clearInterval(heartbeat);
    await rm(path, { force: true });
  };
  for (const other of await readdir(writers)) {
    if (other === name) continue;
    const writer = await liveWriter(join(writers, other));
    if (writer === null || writer.recipe === recipe) continue;
    await release();
    throw usageError(
      'folder-busy',
      `${folder}: process ${writer.pid} on ${writer.host} is writing here with other settings; wait for it, stop it, or choose another --out`,
    );
  }
  return { release };
}

/** The writer that a file announces, or null after removing the file of a dead one. */
async function liveWriter(path: string): Promise<Writer | null> {
  let writer: Writer;
  let silentMs: number;
  try {
    writer = writerSchema.parse(JSON.parse(await readFile(path, 'utf8')));
    silentMs = Date.now() - (await stat(path)).mtimeMs;
  } catch {
    // Half-written by a process that is just starting, or died while it did: it has not begun to write parts.
    return null;
  }
  const alive = writer.host === hostname() ? await isRunning(writer) : silentMs < SILENT_MS;
  if (alive) return writer;
  await rm(path, { force: true });
  return null;
}
