import { redacted } from './redacted.js';

/**
 * How far an error reaches. `usage`: the command or a setting is wrong, nothing was started (exit 2).
 * `fatal`: the run cannot go on (exit 1). `input`: one shard, row group, page or row is unusable and is
 * quarantined; the run goes on (exit 3 at the end). `retry`: the same call may succeed later.
 */
export type Reach = 'usage' | 'fatal' | 'input' | 'retry';

/**
 * The one error type of the package. `message` is one line that names the file, the row or field, what was
 * found, what was expected and what to do; secrets in URLs are taken out. `code` is stable and machine-readable
 * (`vocabulary-mismatch`).
 */
export class TokensieveError extends Error {
  override readonly name = 'TokensieveError';
  /** Lines to show below the message on a terminal: of a file, with a mark below what is meant. Empty for most. */
  readonly frame: readonly string[];

  constructor(
    readonly reach: Reach,
    readonly code: string,
    message: string,
    options?: ErrorDetails,
  ) {
    super(redacted(oneLine(message)), options);
    this.frame = (options?.frame ?? []).map((line) => redacted(oneLine(line)));
  }
}

/** What an error may have beside its message. */
export interface ErrorDetails extends ErrorOptions {
  readonly frame?: readonly string[];
}

export const usageError = (code: string, message: string, options?: ErrorDetails): TokensieveError =>
  new TokensieveError('usage', code, message, options);

export const fatalError = (code: string, message: string, options?: ErrorOptions): TokensieveError =>
  new TokensieveError('fatal', code, message, options);

export const inputError = (code: string, message: string, options?: ErrorOptions): TokensieveError =>
  new TokensieveError('input', code, message, options);

/** Longest message, in UTF-16 code units: names in it may come from a file, and a log line has an end. */
const MAX_MESSAGE = 4096;

/**
 * The text as one line that every terminal shows as it is: what comes from a file may hold line breaks, and sequences
 * that clear a screen or rewrite what was printed before.
 */
export function oneLine(text: string): string {
  const cut = text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE)}…` : text;
  const line = cut.includes('\n')
    ? cut
        .split('\n')
        .map((part) => part.trim())
        .join(' ')
    : cut;
  return line.replace(UNPRINTABLE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Control characters, line separators, and marks that turn the direction of writing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is meant
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** The error with the place it happened at before its message; errors of other kinds as they are. */
export function locatedError(place: string, error: unknown): unknown {
  if (!(error instanceof TokensieveError)) return error;
  return new TokensieveError(error.reach, error.code, `${place}: ${error.message}`, { cause: error });
}

/** The first line of whatever was thrown, for quarantine reports that must stay one line long. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return oneLine(text.split('\n', 1)[0] ?? '');
}
