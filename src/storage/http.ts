/** Storage on web servers, read only: byte ranges of `http://` and `https://` URLs. */
import { usageError } from '../errors.js';
import { redacted } from '../redacted.js';
import { type RangeRequest, readByRange, statByRange } from './http-range.js';
import { percentDecoded } from './path.js';
import { createPatience, type PatienceSettings } from './patience.js';
import type { Storage } from './storage.js';

/** Errors are those of `patience.ts` and `http-range.ts`. */
export function httpStorage(settings?: PatienceSettings): Storage {
  // One server's throttling is no reason to wait for another's.
  const patiences = new Map<string, ReturnType<typeof createPatience>>();
  const patienceFor = (path: string) => {
    const { origin } = parseUrl(path);
    const patience = patiences.get(origin) ?? createPatience(settings);
    patiences.set(origin, patience);
    return patience;
  };
  return {
    stat: (path) => patienceFor(path).call(path, 0, (signal) => statByRange(asked(path, signal))),
    async readRange(path, start, end, version) {
      if (start === end) return new Uint8Array(0);
      return patienceFor(path).call(path, end - start, (signal) =>
        readByRange(asked(path, signal), start, end, version),
      );
    },
    async list(folder) {
      throw usageError(
        'not-listable',
        `${folder}: a web server does not list its folders; name each file, or use s3:// or hf:// where the store has them`,
      );
    },
    stage: (path) => refuseToWrite(path),
    remove: (path) => refuseToWrite(path),
  };
}

export async function refuseToWrite(path: string): Promise<never> {
  throw usageError('read-only', `${path}: cannot be written to; choose a local folder or s3:// for outputs`);
}

function parseUrl(path: string): URL {
  try {
    return new URL(path);
  } catch {
    throw usageError('bad-url', `${path}: is not a URL; expected https://host/path`);
  }
}

/** User and password of a URL become a header: nothing that is logged on the way shows them. */
function asked(path: string, signal: AbortSignal): RangeRequest {
  const url = parseUrl(path);
  const { username, password } = url;
  url.username = '';
  url.password = '';
  const [user, secret] = [username, password].map((part) =>
    percentDecoded(part, `${redacted(path)}: user or password`),
  );
  const credentials = `${user}:${secret}`;
  const headers: Record<string, string> = {};
  if (username !== '' || password !== '')
    headers['Authorization'] = `Basic ${Buffer.from(credentials).toString('base64')}`;
  return { url: url.href, headers, path, signal };
}
