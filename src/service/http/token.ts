import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { firstLine, usageError } from '../../errors.js';

/** Shortest token, in characters: nobody guesses one of 16 over a network. */
const MIN_CHARACTERS = 16;
const MAX_BYTES = 4096;

/**
 * The token in a file: its first line.
 * @throws TokensieveError `bad-token-file` (usage): unreadable, too short, or readable by everybody
 */
export async function readToken(path: string): Promise<string> {
  const wrong = (what: string, cause?: unknown) =>
    usageError('bad-token-file', `${path}: ${what}`, { cause });
  let text: string;
  try {
    const { mode } = await stat(path);
    if (process.platform !== 'win32' && (mode & 0o004) !== 0) {
      throw wrong('everybody may read it; run chmod 600 on it');
    }
    const handle = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
      text = buffer.toString('utf8', 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof Error && 'reach' in error) throw error;
    throw wrong(`cannot be read: ${firstLine(error)}`, error);
  }
  const token = text.split('\n', 1)[0]?.trim() ?? '';
  if (token.length < MIN_CHARACTERS || !/^[\x21-\x7e]+$/.test(token)) {
    throw wrong(
      `its first line is no token: expected ${MIN_CHARACTERS} or more printable characters, as from: openssl rand -hex 32`,
    );
  }
  return token;
}

/** Whether two texts are the same, in a time that does not tell where they differ, or how long they are. */
export function sameSecret(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Short-lived leave to fetch the artifacts of one job without a token, for links that a browser opens. */
export interface Tickets {
  issue(job: string): { readonly ticket: string; readonly expires: Date };
  isGood(ticket: string, job: string): boolean;
}

export const TICKET_MS = 5 * 60_000;

/** Tickets signed with a key of this process: none outlives it. */
export function createTickets(now: () => number = Date.now): Tickets {
  const key = randomBytes(32);
  const sign = (job: string, until: number): string =>
    createHmac('sha256', key).update(`${job} ${until}`).digest('base64url');
  return {
    issue(job) {
      const until = now() + TICKET_MS;
      return { ticket: `${until.toString(36)}.${sign(job, until)}`, expires: new Date(until) };
    },
    isGood(ticket, job) {
      const [until = '', signature = ''] = ticket.split('.');
      const end = Number.parseInt(until, 36);
      return sameSecret(signature, sign(job, end)) && now() < end;
    },
  };
}
