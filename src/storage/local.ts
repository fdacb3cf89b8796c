/** Storage on local disk (or any mounted file system). */
import type { Dirent } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fatalError, inputError } from '../errors.js';
import { pinOf } from './file-pin.js';
import { ioError } from './io-error.js';
import { makeFolder } from './make-folder.js';
import { statAll } from './sizes.js';
import { isAbandoned, isStagedFor, isStagingName, stagingName } from './staging.js';
import type { ListOptions, ObjectStat, StagedFile, StagingOptions, Storage } from './storage.js';

export function localStorage(): Storage {
  return { stat: statFile, readRange, list, sizes, stage, remove, sweep: sweepStaging };
}

/**
 * Removes the staging files below `folder` that dead processes of this host left behind.
 * @returns the paths removed.
 */
export async function sweepStaging(folder: string): Promise<readonly string[]> {
  const abandoned = (await walk(folder, true)).filter((path) => isAbandoned(basename(path)));
  for (const path of abandoned) await remove(path);
  return abandoned;
}

async function statFile(path: string): Promise<ObjectStat> {
  try {
    const found = await stat(path, { bigint: true });
    if (!found.isFile()) throw inputError('not-a-file', `${path}: is not a file.`);
    return { size: Number(found.size), modified: Number(found.mtimeNs) / 1e6, pin: pinOf(found) };
  } catch (error) {
    throw ioError('read', path, error);
  }
}

async function readRange(path: string, start: number, end: number): Promise<Uint8Array> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    // Asked before the buffer is allocated: a footer that lies about offsets must not cost memory.
    const { size } = await handle.stat();
    if (!(start >= 0 && start <= end && end <= size)) {
      throw inputError('short-read', `${path}: bytes [${start}, ${end}) asked for, the file has ${size}.`);
    }
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(end - start).buffer);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done);
      if (bytesRead === 0) {
        throw inputError(
          'short-read',
          `${path}: ends at byte ${start + done} while being read up to ${end}.`,
        );
      }
      done += bytesRead;
    }
    return bytes;
  } catch (error) {
    throw ioError('read', path, error);
  } finally {
    await handle?.close();
  }
}

const list = (folder: string, options: ListOptions = {}): Promise<readonly string[]> =>
  walk(folder, false, options);

const sizes = async (folder: string): Promise<ReadonlyMap<string, number>> =>
  statAll(await walk(folder, false), (path) =>
    stat(path).then(
      ({ size }) => size,
      (error: unknown) => {
        if (isMissing(error)) return null;
        throw ioError('read', path, error);
      },
    ),
  );

/** Paths of the files below a folder, sorted by code unit: staging files alone, or all the others. */
async function walk(
  folder: string,
  staging: boolean,
  { shallow = false, linked }: ListOptions = {},
): Promise<string[]> {
  const found: string[] = [];
  const pending = [folder];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    for (const entry of await entries(at)) {
      const path = at.endsWith('/') ? at + entry.name : `${at}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!shallow) pending.push(path);
      } else if (isStagingName(entry.name) === staging && (await isFile(entry, path))) {
        found.push(path);
      } else if (linked !== undefined && entry.isSymbolicLink() && (await isFolder(path))) linked(path);
    }
  }
  return found.sort(byCodeUnit);
}

async function entries(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw ioError('list', folder, error);
  }
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (target) => target.isDirectory(),
    () => false,
  );

/** Links to files are files (model and data caches are made of them); links to folders are not followed. */
async function isFile(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isFile();
  return stat(path).then(
    (target) => target.isFile(),
    () => false,
  );
}

async function stage(path: string, { alone = false }: StagingOptions = {}): Promise<StagedFile> {
  const folder = dirname(path);
  const staging = join(folder, stagingName(basename(path)));
  let handle: FileHandle | undefined;
  let firstMade: string | undefined;
  let state: 'open' | 'committed' | 'gone' = 'open';

  const abort = async (): Promise<void> => {
    if (state !== 'open') return;
    state = 'gone';
    await handle?.close().catch(() => {});
    await rm(staging, { force: true }).catch(() => {});
  };
  /** Runs one step; whatever goes wrong leaves nothing behind. */
  const step = async (act: (file: FileHandle) => Promise<void>): Promise<void> => {
    if (state !== 'open' || !handle) {
      throw fatalError(
        'staging-closed',
        `${path}: the staged file was already ${state === 'gone' ? 'thrown away' : state}.`,
      );
    }
    try {
      await act(handle);
    } catch (error) {
      await abort();
      throw ioError('write', path, error);
    }
  };

  try {
    firstMade = await makeFolder(folder);
    if (alone) await sweepBeside(folder, basename(path));
    handle = await open(staging, 'wx');
  } catch (error) {
    throw ioError('write', path, error);
  }
  return {
    path,
    write: (bytes) =>
      step(async (file) => {
        for (let done = 0; done < bytes.length; ) {
          done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
        }
      }),
    commit: () =>
      step(async (file) => {
        await file.sync();
        await rename(staging, path);
        state = 'committed';
        await file.close();
        await syncFolders(folder, firstMade);
      }),
    abort,
  };
}

/** A file that the sweep cannot remove (another user's) is no reason not to write. */
async function sweepBeside(folder: string, name: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    if (isStagedFor(entry, name) && isAbandoned(entry)) await rm(join(folder, entry)).catch(() => undefined);
  }
}

async function remove(path: string): Promise<void> {
  try {
    await rm(path);
  } catch (error) {
    if (!isMissing(error)) throw ioError('remove', path, error);
  }
}

/** Makes a rename durable: the folder it happened in, and the parents of the folders made for it. */
export async function syncFolders(folder: string, firstMade: string | undefined): Promise<void> {
  const top = firstMade === undefined ? resolve(folder) : dirname(resolve(firstMade));
  for (let at = resolve(folder); ; at = dirname(at)) {
    await syncFolder(at);
    if (at === top || at === dirname(at)) return;
  }
}

async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open folders, and has no need to.
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';

const byCodeUnit = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
