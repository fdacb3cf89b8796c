import { fatalError, firstLine, inputError, TokensieveError, usageError } from '../errors.js';

/** What was being done to a path when the system refused. */
export type IoAct = 'read' | 'list' | 'write' | 'remove';

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown';

/**
 * A system error as one plain line that names the path and says what to do. Reading problems reach one shard
 * (`input`), passing ones are `retry`, and whatever stops writing stops the run (`fatal`).
 */
export function ioError(act: IoAct, path: string, error: unknown): TokensieveError {
  if (error instanceof TokensieveError) return error;
  const code = codeOf(error);
  const cause = { cause: error };
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return fatalError(
        'disk-full',
        `${path}: no space left to write (${code}); nothing was left under this name. Free space or choose another output folder, then run the same command again.`,
        cause,
      );
    case 'EFBIG':
      return fatalError(
        'disk-full',
        `${path}: the file is larger than may be written here (${code}); nothing was left under this name. Raise the limit (ulimit -f), or choose another output folder, then run the same command again.`,
        cause,
      );
    case 'EROFS':
      return fatalError(
        'not-writable',
        `${path}: the file system is read-only (${code}). Choose an output folder that can be written to.`,
        cause,
      );
    case 'EACCES':
    case 'EPERM':
      return act === 'write' || act === 'remove'
        ? fatalError(
            'not-writable',
            `${path}: not permitted to ${act} (${code}). Change the folder's owner or mode, or choose another output folder.`,
            cause,
          )
        : inputError(
            'not-readable',
            `${path}: not permitted to ${act} (${code}). Change the owner or mode, or run as a user that may read it.`,
            cause,
          );
    case 'ENOENT':
    case 'ENOTDIR':
      return act === 'write'
        ? fatalError(
            'not-writable',
            `${path}: its folder is gone or not a folder (${code}). Make it again.`,
            cause,
          )
        : inputError('not-found', `${path}: no such file (${code}). Check the path.`, cause);
    case 'EISDIR':
      return act === 'write'
        ? fatalError('not-writable', `${path}: a folder has this name (${code}). Choose another name.`, cause)
        : inputError('not-a-file', `${path}: is a folder, expected a file (${code}).`, cause);
    case 'ENAMETOOLONG':
      return usageError(
        'name-too-long',
        `${path}: the name is too long for the file system (${code}).`,
        cause,
      );
    case 'EAGAIN':
    case 'EBUSY':
    case 'EIO':
    case 'EMFILE':
    case 'ENFILE':
    case 'ESTALE':
    case 'ETIMEDOUT':
      return new TokensieveError('retry', 'io', `${path}: could not ${act} (${code}). Try again.`, cause);
    default:
      return fatalError('io', `${path}: could not ${act} (${code}: ${firstLine(error)}).`, cause);
  }
}
