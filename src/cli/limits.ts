/** Limits that the system sets this process (ulimit), told as what they are: a shortage looks like a broken installation. */
import { readFileSync } from 'node:fs';
import { fatalError, usageError } from '../errors.js';

/** Files that a run may have open at once: modules that are loaded together, shards, parts, graphs. */
const FILES = 256;
/** Address space, in bytes, with which runs have been seen to work: each memory of WebAssembly reserves some 10 GiB of it. */
const ADDRESSES = 128 * 2 ** 30;

/** A soft limit by its name in /proc; null where there is none, or no /proc. */
function limitOf(name: 'Max open files' | 'Max address space'): number | null {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const [, soft] = new RegExp(`^${name} +(\\d+)`, 'm').exec(limits) ?? [];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null;
  }
}

/** @throws TokensieveError (usage) `few-files` before anything is begun */
export function refuseFewFiles(): void {
  const limit = limitOf('Max open files');
  if (limit === null || limit >= FILES) return;
  throw usageError(
    'few-files',
    `this process may have ${limit} files open (ulimit -n), at least ${FILES} are needed; raise the limit, 1024 is usual`,
  );
}

/** What ran into a limit, as an error that names it; other errors as they are. */
export function limitError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code === 'EMFILE' || code === 'ENFILE' || /\b(?:EMFILE|ENFILE)\b/.test(error.message)) {
    return fatalError(
      'few-files',
      `no more files can be opened: this process may have ${limitOf('Max open files') ?? 'only so many'} open (ulimit -n); raise the limit`,
      { cause: error },
    );
  }
  const limit = limitOf('Max address space');
  const isMemory =
    /\bENOMEM\b|WebAssembly.*memory|could not allocate|allocation failed|bad_alloc|Out of memory/i.test(
      error.message,
    );
  if (limit === null || !isMemory) return error;
  const have = `${Math.round(limit / 2 ** 30)} GiB`;
  return fatalError(
    'little-address-space',
    `memory could not be reserved: this process may have ${have} of address space (ulimit -v); take the limit off, or raise it to ${ADDRESSES / 2 ** 30} GiB (what is reserved is not used)`,
    { cause: error },
  );
}
