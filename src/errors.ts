/**
 * How far an error reaches. `usage`: the command or a setting is wrong, nothing was started (exit 2).
 * `fatal`: the run cannot go on (exit 1). `input`: one shard, row group, page or row is unusable and is
 * quarantined; the run goes on (exit 3 at the end). `retry`: the same call may succeed later.
 */
export type Reach = 'usage' | 'fatal' | 'input' | 'retry';

/**
 * The one error type of the package. `message` is one line that names the file, the row or field, what was
 * found, what was expected and what to do. `code` is stable and machine-readable (`vocabulary-mismatch`).
 */
export class TokensieveError extends Error {
  override readonly name = 'TokensieveError';

  constructor(
    readonly reach: Reach,
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message.replace(/\s*\n\s*/g, ' '), options);
  }
}

export const usageError = (code: string, message: string, options?: ErrorOptions): TokensieveError =>
  new TokensieveError('usage', code, message, options);

export const fatalError = (code: string, message: string, options?: ErrorOptions): TokensieveError =>
  new TokensieveError('fatal', code, message, options);

export const inputError = (code: string, message: string, options?: ErrorOptions): TokensieveError =>
  new TokensieveError('input', code, message, options);

/** The error with the place it happened at before its message; errors of other kinds as they are. */
export function locatedError(place: string, error: unknown): unknown {
  if (!(error instanceof TokensieveError)) return error;
  return new TokensieveError(error.reach, error.code, `${place}: ${error.message}`, { cause: error });
}

/** The first line of whatever was thrown, for quarantine reports that must stay one line long. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n', 1)[0] ?? '';
}
