/**
 * Data sets of the Hugging Face Hub, read only: `hf://datasets/OWNER/NAME[@REVISION]/path`. A branch or tag is looked
 * up once and its commit read from then on, so a push during a run changes nothing. Files come through the
 * Hub's resolve URLs, which lead to a signed URL elsewhere; the token goes to the Hub alone.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { inputError, TokensieveError, usageError } from '../errors.js';
import { refuseToWrite } from './http.js';
import { readByRange, request } from './http-range.js';
import { percentDecoded } from './path.js';
import { createPatience, PassingFailure, type PatienceSettings } from './patience.js';
import type { ListOptions, ObjectStat, Storage } from './storage.js';

/** How long the URL that a file was found at is used again, in milliseconds; the Hub signs them for an hour. */
const LOCATION_MS = 10 * 60_000;
/** Files that are remembered at once. */
const LOCATIONS = 4096;
const MAX_REDIRECTS = 5;
const PAGE = 1000;

interface HubPath {
  /** OWNER/NAME, encoded. */
  readonly repo: string;
  readonly revision: string;
  /** Below the repository's root. */
  readonly file: string;
  /** The path up to the file. */
  readonly start: string;
}

interface Location extends ObjectStat {
  readonly url: string;
  readonly atHub: boolean;
  readonly until: number;
}

/** Errors are those of `patience.ts` and `http-range.ts`. Endpoint and token come from HF_ENDPOINT and HF_TOKEN. */
export function hfStorage(settings?: PatienceSettings): Storage {
  const endpoint = (process.env['HF_ENDPOINT'] || 'https://huggingface.co').replace(/\/+$/, '');
  const patience = createPatience(settings);
  const commits = new Map<string, Promise<string>>();
  const locations = new Map<string, Location>();
  let token: Promise<string | null> | undefined;

  async function authorization(): Promise<Record<string, string>> {
    token ??= readToken();
    const found = await token;
    return found === null ? {} : { Authorization: `Bearer ${found}` };
  }

  /** Asks the Hub; the answer's body is read by `use`. */
  async function askHub<T>(
    path: string,
    url: string,
    use: (response: Response) => Promise<T>,
    method: 'GET' | 'HEAD' = 'GET',
  ): Promise<T> {
    const headers = await authorization();
    try {
      return await patience.call(path, 0, async (signal) =>
        use(await request({ url, headers, path, signal, method, redirect: 'manual' })),
      );
    } catch (error) {
      if (!(error instanceof TokensieveError) || error.code !== 'not-readable') throw error;
      throw inputError(
        'not-readable',
        `${path}: the Hub does not let this be read. Set HF_TOKEN to a token that may, and accept the data set's terms on its page if it has any.`,
        { cause: error },
      );
    }
  }

  /** The commit that a path's revision is, the same for the whole run. */
  function commitOf(path: string, { repo, revision }: HubPath): Promise<string> {
    if (/^[0-9a-f]{40}$/.test(revision)) return Promise.resolve(revision);
    const key = `${repo}@${revision}`;
    let commit = commits.get(key);
    if (commit === undefined) {
      const url = `${endpoint}/api/datasets/${repo}/revision/${encodeURIComponent(revision)}`;
      commit = askHub(path, url, async (response) => {
        const { sha } = (await json(response)) as { readonly sha?: unknown };
        if (typeof sha === 'string' && /^[0-9a-f]{40}$/.test(sha)) return sha;
        throw inputError(
          'bad-answer',
          `${path}: the Hub names no commit for ${revision}. Check HF_ENDPOINT.`,
        );
      });
      commits.set(key, commit);
      commit.catch(() => commits.delete(key));
    }
    return commit;
  }

  /** Where a file's bytes are, and how many. */
  async function locate(path: string): Promise<Location> {
    const known = locations.get(path);
    if (known !== undefined && known.until > Date.now()) return known;
    const hubPath = parseHub(path);
    if (hubPath.file === '' || hubPath.file.endsWith('/'))
      throw inputError('not-a-file', `${path}: is a folder, expected a file.`);
    const commit = await commitOf(path, hubPath);
    let url = `${endpoint}/datasets/${hubPath.repo}/resolve/${commit}/${encoded(hubPath.file)}`;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const { status, headers } = await askHub(
        path,
        url,
        async ({ status, headers }) => ({ status, headers }),
        'HEAD',
      );
      const target = headers.get('location');
      const next = status >= 300 && target !== null ? new URL(target, url).href : null;
      const size = headers.get('x-linked-size') ?? (next === null ? headers.get('content-length') : null);
      // A repository that was renamed answers with its new place at the Hub.
      if (size === null && next !== null && isAt(endpoint, next)) {
        url = next;
        continue;
      }
      if (size === null || !/^\d+$/.test(size))
        throw inputError('bad-answer', `${path}: the Hub does not tell the file's size (status ${status}).`);
      const etag = headers.get('x-linked-etag') ?? headers.get('etag');
      const location: Location = {
        size: Number(size),
        ...(etag !== null && { etag }),
        url: next ?? url,
        atHub: isAt(endpoint, next ?? url),
        until: Date.now() + LOCATION_MS,
      };
      if (locations.size >= LOCATIONS) locations.clear();
      locations.set(path, location);
      return location;
    }
    throw inputError('bad-answer', `${path}: the Hub leads from URL to URL without end.`);
  }

  async function readRange(
    path: string,
    start: number,
    end: number,
    version?: ObjectStat,
  ): Promise<Uint8Array> {
    if (start === end) return new Uint8Array(0);
    const read = async ({ url, atHub, size }: Location): Promise<Uint8Array> => {
      const headers = atHub ? await authorization() : {};
      // The commit is pinned; the entity tag of the place that serves the bytes is another than the Hub's.
      return patience.call(path, end - start, (signal) =>
        readByRange({ url, headers, path, signal }, start, end, { size: version?.size ?? size }),
      );
    };
    const location = await locate(path);
    try {
      return await read(location);
    } catch (error) {
      // Signed URLs expire; the Hub gives a new one.
      if (!(error instanceof TokensieveError) || !['not-readable', 'bad-answer'].includes(error.code))
        throw error;
      locations.delete(path);
      return read(await locate(path));
    }
  }

  async function list(folder: string, { shallow = false }: ListOptions = {}): Promise<readonly string[]> {
    const hubPath = parseHub(folder);
    const prefix = hubPath.file.replace(/\/+$/, '');
    const commit = await commitOf(folder, hubPath);
    const files: string[] = [];
    const below = prefix === '' ? '' : `/${encoded(prefix)}`;
    let url: string | null =
      `${endpoint}/api/datasets/${hubPath.repo}/tree/${commit}${below}?recursive=${!shallow}&limit=${PAGE}`;
    try {
      while (url !== null) {
        const page: { entries: unknown; next: string | null } = await askHub(
          folder,
          url,
          async (response) => ({
            entries: await json(response),
            next: nextPage(response.headers.get('link')),
          }),
        );
        if (!Array.isArray(page.entries))
          throw inputError('bad-answer', `${folder}: the Hub's listing is no list. Check HF_ENDPOINT.`);
        for (const entry of page.entries as readonly { type?: unknown; path?: unknown }[]) {
          if (entry?.type !== 'file' || typeof entry.path !== 'string') continue;
          if (prefix === '' || entry.path.startsWith(`${prefix}/`))
            files.push(`${hubPath.start}/${entry.path}`);
        }
        if (page.next !== null && !isAt(endpoint, page.next))
          throw inputError('bad-answer', `${folder}: the Hub's listing goes on elsewhere (${page.next}).`);
        url = page.next;
      }
    } catch (error) {
      if (error instanceof TokensieveError && error.code === 'not-found') return [];
      throw error;
    }
    return files.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }

  return {
    async stat(path) {
      const { size, etag } = await locate(path);
      return { size, ...(etag !== undefined && { etag }) };
    },
    readRange,
    list,
    stage: (path) => refuseToWrite(path),
    remove: (path) => refuseToWrite(path),
  };
}

/** @throws TokensieveError (usage) `bad-url` */
function parseHub(path: string): HubPath {
  const [, start = '', owner = '', name = '', revision = 'main', file = ''] =
    /^(hf:\/\/datasets\/([^/@]+)\/([^/@]+)(?:@(refs\/[^/]+\/[^/]+|[^/]+))?)(?:\/(.*))?$/is.exec(path) ?? [];
  const climbs = [owner, name, ...file.split('/')].some((step) => step === '.' || step === '..');
  if (start !== '' && !climbs)
    return {
      repo: `${encodeURIComponent(owner)}/${encodeURIComponent(name)}`,
      revision: percentDecoded(revision, `${path}: the revision`),
      file,
      start,
    };
  throw usageError(
    'bad-url',
    `${path}: is no path at the Hub; expected hf://datasets/OWNER/NAME/path or hf://datasets/OWNER/NAME@REVISION/path`,
  );
}

const encoded = (file: string): string => file.split('/').map(encodeURIComponent).join('/');

const isAt = (endpoint: string, url: string): boolean => new URL(endpoint).origin === new URL(url).origin;

/** The URL of a Link header's `rel="next"`. */
const nextPage = (link: string | null): string | null =>
  /<([^>]+)>\s*;[^,]*rel="?next"?/.exec(link ?? '')?.[1] ?? null;

/** A body that breaks off is asked for again. */
async function json(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (error) {
    throw new PassingFailure('the answer is not JSON', { cause: error });
  }
}

/** The token of HF_TOKEN, or of the file that the Hub's own tools write. */
async function readToken(): Promise<string | null> {
  const { env } = process;
  const given = env['HF_TOKEN'] || env['HUGGING_FACE_HUB_TOKEN'];
  if (given) return given.trim();
  const home = env['HF_HOME'] || join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'huggingface');
  const file = env['HF_TOKEN_PATH'] || join(home, 'token');
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.trim() === '' ? null : text.trim();
}
