/** Byte ranges over HTTP: one request, its answer checked against what was asked for. */
import { fatalError, inputError } from '../errors.js';
import { connectionFailure, PassingFailure, retryAfter, Throttled } from './patience.js';
import type { ObjectStat } from './storage.js';

/** Servers without ranges are put up with for files up to this size, each of whose reads fetches all of it. */
const WHOLE_FILE_BYTES = 16 * 2 ** 20;

export interface RangeRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What errors call the object. */
  readonly path: string;
  readonly signal: AbortSignal;
  /** Whether redirects are followed (the default) or answered as they are. */
  readonly redirect?: 'follow' | 'manual';
  readonly method?: 'GET' | 'HEAD';
}

/** @throws PassingFailure, Throttled; TokensieveError (input) `not-found`, `not-readable`, `bad-answer` */
export async function request(
  { url, headers, path, signal, redirect = 'follow', method = 'GET' }: RangeRequest,
  more: Readonly<Record<string, string>> = {},
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, {
      headers: { 'Accept-Encoding': 'identity', 'User-Agent': 'tokensieve', ...headers, ...more },
      method,
      redirect,
      signal,
    });
  } catch (error) {
    throw connectionFailure(error);
  }
  const { status } = response;
  if (status < 400 || status === 412 || status === 416) return response;
  await discard(response);
  if (status === 429 || status === 503) {
    throw new Throttled(`status ${status}`, retryAfter(response.headers.get('retry-after')));
  }
  if (status === 408 || status >= 500) throw new PassingFailure(`the server answered with status ${status}`);
  if (status === 404 || status === 410)
    throw inputError('not-found', `${path}: no such file (status ${status}). Check the URL.`);
  if (status === 401 || status === 403) {
    throw inputError(
      'not-readable',
      `${path}: not permitted to read (status ${status}). Sign in, or get a URL that has not expired.`,
    );
  }
  throw inputError(
    'bad-answer',
    `${path}: the server answered with status ${status}, expected 206. Check the URL.`,
  );
}

/** Size and version from a request for the first byte: HEAD is not allowed by URLs that are signed for GET. */
export async function statByRange(asked: RangeRequest): Promise<ObjectStat> {
  const response = await request(asked, { Range: 'bytes=0-0' });
  const { status, headers } = response;
  const size = status === 200 ? wholeLength(headers) : totalOf(headers);
  await discard(response);
  // Told now: a shard that cannot be read is set aside when it is planned, and the run goes on.
  const encoded = encodedAnswer(asked.path, headers);
  if (encoded !== null) throw encoded;
  if (size === null) {
    throw inputError(
      'bad-answer',
      `${asked.path}: the server does not tell the file's size (status ${status}, ${status === 200 ? 'no Content-Length' : 'no Content-Range'}). Download it first.`,
    );
  }
  const modified = Date.parse(headers.get('last-modified') ?? '');
  const etag = versionOf(headers);
  return {
    size,
    ...(etag !== null && { etag }),
    ...(Number.isFinite(modified) && { modified }),
  };
}

/** Bytes [start, end), which must be of `version` where it is given. */
export async function readByRange(
  asked: RangeRequest,
  start: number,
  end: number,
  version: ObjectStat | undefined,
): Promise<Uint8Array> {
  const { path } = asked;
  const strong = version?.etag?.startsWith('"') === true ? version.etag : undefined;
  const response = await request(asked, {
    Range: `bytes=${start}-${end - 1}`,
    ...(strong !== undefined && { 'If-Match': strong }),
  });
  const { status, headers } = response;
  const refuse = async (error: Error): Promise<never> => {
    await discard(response);
    throw error;
  };
  if (status === 412) return refuse(objectChanged(path, version, versionOf(headers) ?? 'another'));
  const total = status === 200 ? wholeLength(headers) : totalOf(headers);
  if (version !== undefined) {
    const found = versionOf(headers);
    if (version.etag !== undefined && found !== null && found !== version.etag)
      return refuse(objectChanged(path, version, found));
    if (total !== null && total !== version.size)
      return refuse(objectChanged(path, version, `one of ${total} bytes`));
  }
  if (status === 416) {
    return refuse(
      inputError(
        'short-read',
        `${path}: bytes [${start}, ${end}) asked for, the file has ${total ?? 'fewer'}.`,
      ),
    );
  }
  const encoded = encodedAnswer(path, headers);
  if (encoded !== null) return refuse(encoded);
  if (status === 200) {
    if (total === null || total > WHOLE_FILE_BYTES) {
      return refuse(
        inputError(
          'no-ranges',
          `${path}: the server gives no byte ranges, which a file of ${total ?? 'unknown'} bytes needs. Use a server that does, or download the file first.`,
        ),
      );
    }
    if (end > total)
      return refuse(
        inputError('short-read', `${path}: bytes [${start}, ${end}) asked for, the file has ${total}.`),
      );
    return (await readBody(response.body, total)).slice(start, end);
  }
  const range = /^bytes (\d+)-(\d+)\//.exec(headers.get('content-range') ?? '');
  if (status !== 206 || Number(range?.[1]) !== start) {
    return refuse(
      inputError(
        'bad-answer',
        `${path}: asked for bytes [${start}, ${end}), the server answered with status ${status} and ${headers.get('content-range') ?? 'no Content-Range'}.`,
      ),
    );
  }
  if (Number(range?.[2]) !== end - 1) {
    // The last byte asked for is beyond the file's end.
    return refuse(
      inputError(
        'short-read',
        `${path}: bytes [${start}, ${end}) asked for, the file has ${total ?? 'fewer'}.`,
      ),
    );
  }
  return readBody(response.body, end - start);
}

/**
 * Of an encoded answer nobody can tell which bytes of which form a range is. `aws-chunked` is how uploads were sent, which some stores keep
 * beside bytes that are the file's own.
 */
function encodedAnswer(path: string, headers: Headers): Error | null {
  const encoding = headers.get('content-encoding') ?? '';
  if (/^(identity|aws-chunked)?$/i.test(encoding)) return null;
  return inputError(
    'bad-answer',
    `${path}: the server sends the file encoded (${encoding}), expected its own bytes. Have it serve the file as it is, or download the file first.`,
  );
}

/** @throws PassingFailure when the body has fewer or more bytes than it should */
export async function readBody(body: AsyncIterable<Uint8Array> | null, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
  let at = 0;
  try {
    for await (const piece of body ?? []) {
      if (at + piece.length > length)
        throw new PassingFailure(`the body has more than the ${length} bytes asked for`);
      bytes.set(piece, at);
      at += piece.length;
    }
  } catch (error) {
    if (error instanceof PassingFailure) throw error;
    throw new PassingFailure(`the body broke off after ${at} of ${length} bytes`, { cause: error });
  }
  if (at < length) throw new PassingFailure(`the body ended after ${at} of ${length} bytes`);
  return bytes;
}

export function objectChanged(path: string, version: ObjectStat | undefined, found: string): Error {
  const was = `version ${version?.etag ?? '?'} of ${version?.size ?? '?'} bytes`;
  return fatalError(
    'object-changed',
    `${path}: changed while it was being read: ${was} was begun with, the store now has ${found}. Run the command again once it no longer changes.`,
  );
}

/** The entity tag, or the time of the last change where there is none; null without either. */
function versionOf(headers: Headers): string | null {
  const modified = headers.get('last-modified');
  return headers.get('etag') ?? (modified === null ? null : `modified ${modified}`);
}

const totalOf = (headers: Headers): number | null =>
  numberIn(/\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1]);
const wholeLength = (headers: Headers): number | null => numberIn(headers.get('content-length'));
const numberIn = (text: string | null | undefined): number | null =>
  text !== null && text !== undefined && /^\d+$/.test(text) ? Number(text) : null;

/** Lets go of an answer whose body is of no interest. */
async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {});
}
