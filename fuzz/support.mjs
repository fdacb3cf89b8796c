/** What targets share: where things are, and what counts as an answer. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TokensieveError } from '#tokensieve/errors.js';

export const project = fileURLToPath(new URL('..', import.meta.url));
export const sharedData = fileURLToPath(new URL('../../shared/data/', import.meta.url));
export const fixtures = join(project, 'fixtures');

/** Returned by a target that stopped reading on its own. */
export const SKIP = Symbol('skipped');

/** A folder of this process, for seeds and caches. */
let folder;
export function workFolder() {
  folder ??= mkdtempSync(join(tmpdir(), 'tokensieve-fuzz-'));
  return folder;
}

/** What an input must never make visible: planted in a file outside of the folders that it may read. */
export const CANARY = 'canary-7f3a91c2';

export class Find extends Error {
  constructor(kind, message, options) {
    super(message, options);
    this.kind = kind;
  }
}

/**
 * The call's value, or the package's own error; anything else thrown is a find.
 * @returns `outcome` in a word, and `value` where there is one
 */
export async function resultOf(call) {
  try {
    const value = await call();
    if (containsCanary(value)) throw new Find('leak', 'a result holds the canary');
    return { outcome: 'ok', value };
  } catch (error) {
    if (error instanceof Find) throw error;
    if (!(error instanceof TokensieveError))
      throw new Find('crash', String(error?.message ?? error), { cause: error });
    checkMessage(error);
    return { outcome: error.code, error };
  }
}

/** A message is one line that a terminal shows as it is, of a length that a log can hold. */
export function checkMessage(error) {
  const { message } = error;
  if (message.includes(CANARY))
    throw new Find('leak', `the message holds the canary: ${message.slice(0, 300)}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(message))
    throw new Find('message', `a control character in: ${JSON.stringify(message.slice(0, 300))}`, {
      cause: error,
    });
  if (message.length > 8192)
    throw new Find('message', `a message of ${message.length} characters: ${message.slice(0, 200)}`, {
      cause: error,
    });
}

function containsCanary(value) {
  if (value === undefined || value === null || typeof value !== 'object')
    return typeof value === 'string' && value.includes(CANARY);
  try {
    return (
      JSON.stringify(value, (_, inner) =>
        typeof inner === 'bigint' ? String(inner) : ArrayBuffer.isView(inner) ? undefined : inner,
      )?.includes(CANARY) ?? false
    );
  } catch {
    return false;
  }
}
