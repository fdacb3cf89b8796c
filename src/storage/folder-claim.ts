import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fatalError, type TokensieveError, usageError } from '../errors.js';
import { ioError } from './io-error.js';
import { makeFolder } from './make-folder.js';
import { claimObjects } from './object-claim.js';
import { isUrl } from './path.js';
import { isRunning, processSpace } from './process-identity.js';
import type { Storage } from './storage.js';
import { folderBusy, thisWriter, type Writer, type WriterClaim, writerSchema } from './writer.js';

export type { WriterClaim } from './writer.js';

/**
 * Who writes into an output folder. Writers with one recipe may share a folder: each part they both make is the
 * same bytes, committed by rename, so the worst outcome is work done twice. Writers with different recipes
 * would leave one's data under the other's manifest, so the later one is refused.
 *
 * Each writer keeps a file of its own, written again and again while it lives; it is read by the others, never shared,
 * so there is nothing to corrupt. A writer announces itself before it looks at the others: of two that start at
 * once at least one sees the other. A writer whose file is gone was taken for dead, or its folder was removed: it stops.
 *
 * No wall clock is trusted. Times of files are compared with each other only, all of them set by the file system; and
 * a file that looks silent, which a clock that jumped can do too, is watched by this process's own steady clock.
 */
export interface ClaimTimes {
  readonly heartbeatMs: number;
  /** A writer on another host whose file is younger than this is believed to live. */
  readonly silentMs: number;
  /** An older one is watched for so long: without a heartbeat it is dead. */
  readonly watchMs: number;
}
const TIMES: ClaimTimes = { heartbeatMs: 10_000, silentMs: 60_000, watchMs: 25_000 };

/**
 * Announces this process as a writer of `folder`.
 * @param recipe hash of everything that determines the bytes written
 * @param storage of folders that are not local; without it these are refused (`not-local`, usage)
 * @throws TokensieveError `folder-busy` (usage) when a live writer has another recipe; fatal errors of the disk
 */
export async function claimFolder(
  folder: string,
  recipe: string,
  storage?: Storage,
  times: ClaimTimes = TIMES,
): Promise<WriterClaim> {
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
  const name = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}.json`;
  const path = join(writers, name);
  const text = JSON.stringify(await thisWriter(recipe));
  try {
    await makeFolder(writers);
    await writeFile(path, text, { flag: 'wx' });
  } catch (error) {
    await rm(path, { force: true }).catch(() => undefined);
    throw ioError('write', folder, error);
  }

  const lost = new AbortController();
  const beat = async (): Promise<void> => {
    try {
      // The same bytes again, in place: the time is set by the file system, and no reader sees half of it.
      const file = await open(path, 'r+');
      await file.write(text, 0).finally(() => file.close());
    } catch (error) {
      if (isMissing(error)) lost.abort(claimLost(folder));
    }
  };
  const heartbeat = setInterval(beat, times.heartbeatMs);
  heartbeat.unref();
  const release = async (): Promise<void> => {
    clearInterval(heartbeat);
    await rm(path, { force: true }).catch(() => undefined);
  };
  const check = async (): Promise<void> => {
    lost.signal.throwIfAborted();
    await stat(path).catch((error: unknown) => {
      throw isMissing(error) ? claimLost(folder) : ioError('read', path, error);
    });
  };

  try {
    const others = (await readdir(writers)).filter((other) => other !== name);
    const living = await Promise.all(
      others.map((other) => liveWriter(join(writers, other), path, recipe, times)),
    );
    const busy = living.find((writer) => writer !== null);
    if (busy) throw folderBusy(folder, busy);
  } catch (error) {
    await release();
    throw ioError('read', writers, error);
  }
  return { signal: lost.signal, check, release };
}

/** `signal`, and the end of the claim. */
export const claimedSignal = (signal: AbortSignal, claim: WriterClaim): AbortSignal =>
  claim.signal === undefined ? signal : AbortSignal.any([signal, claim.signal]);

/**
 * The writer that a file announces, if it lives and has another recipe; null otherwise, after removing the file of a
 * dead one where that is certain.
 * @param own this process's file, just written: its time is what the file system calls now
 */
async function liveWriter(
  path: string,
  own: string,
  recipe: string,
  times: ClaimTimes,
): Promise<Writer | null> {
  let writer: Writer;
  try {
    writer = writerSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    // Half-written by a process that is just starting, or died while it did: it has not begun to write parts.
    return null;
  }
  const isHere = writer.host === hostname() && writer.space === processSpace();
  // Of another host's writers with this recipe nothing need be known.
  if (!isHere && writer.recipe === recipe) return null;
  const alive = isHere ? await isRunning(writer) : await isBeating(path, own, times);
  if (!alive) await rm(path, { force: true }).catch(() => undefined);
  return alive && writer.recipe !== recipe ? writer : null;
}

/** Whether another host's writer lives: its file is young, or is written to while it is watched. */
async function isBeating(path: string, own: string, { silentMs, watchMs }: ClaimTimes): Promise<boolean> {
  const first = await timeOf(path);
  const now = await timeOf(own);
  if (first === null) return false;
  if (now !== null && Math.abs(now - first) < silentMs) return true;
  const steps = 25;
  for (let step = 0; step < steps; step++) {
    await wait(watchMs / steps);
    const time = await timeOf(path);
    if (time === null) return false;
    if (time !== first) return true;
  }
  return false;
}

const timeOf = (path: string): Promise<number | null> =>
  stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => null,
  );

const claimLost = (folder: string): TokensieveError =>
  fatalError(
    'claim-lost',
    `${folder}: the folder, or this process's announcement in it, was removed while it was being written; run the same command again`,
  );

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
