/** From what a user names (globs, files, folders) to the shards of a corpus. */
import { posix } from 'node:path';
import picomatch from 'picomatch';
import { TokensieveError, usageError } from '../errors.js';
import { absolutePath, isUrl, joinPath, rootOf, schemeOf, withoutQuery } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { isLeftOut, isLeftOutOf, leavingNotes } from './left-out.js';
import type { Shard, ShardFormat } from './shard.js';
import { checkTables } from './table-log.js';

const FORMATS: readonly (readonly [RegExp, ShardFormat])[] = [
  [/\.parquet$/i, 'parquet'],
  [/\.(jsonl|ndjson)$/i, 'jsonl'],
  [/\.(jsonl|ndjson|json)\.gz$/i, 'jsonl.gz'],
  [/\.(jsonl|ndjson|json)\.zst$/i, 'jsonl.zst'],
];
const KNOWN = '.parquet, .jsonl, .ndjson, .jsonl.gz, .json.gz, .jsonl.zst, .json.zst';

/** The format that a file's extension says, or null. */
export const formatOf = (path: string): ShardFormat | null =>
  FORMATS.find(([extension]) => extension.test(withoutQuery(path)))?.[1] ?? null;

/** A run's own list of rows set aside: text of no corpus, and below the shards where the output folder is. */
const isReport = (path: string): boolean => path.endsWith('.quarantine.jsonl');

const MAX_PATTERN = 4096;
const MAX_BRACES = 3;
const MAX_GLOBSTARS = 2;
const MAX_WILDCARDS = 3;

/** A file as found, with the folder that its name is relative to. */
interface Found {
  readonly path: string;
  readonly base: string;
  readonly pattern: string;
}

/**
 * The shards that globs, file paths and folders name, sorted by name in code unit order.
 *
 * A shard's name is its path relative to the glob's fixed part, to the named folder, or, for files named
 * outright, to the folder that all of these have in common (files of one store): never absolute, never with `..`. A folder stands for
 * the files of known formats below it. What a step that begins with `.` or `_` leads to is left out unless the step is spelt, and quarantine reports are.
 * @param tell is told what was left out, once a pattern
 * @throws TokensieveError (usage): nothing matched, unknown extension, two shards with one name, or one file under two names;
 *   `glob-too-wild`; `table-log` where a table's log contradicts its folder.
 */
export async function expandShards(
  storage: Storage,
  patterns: readonly string[],
  tell: (note: string) => void = () => {},
): Promise<readonly Shard[]> {
  const files: Found[] = [];
  const plain: string[] = [];
  for (const pattern of patterns) {
    const kind = await kindOf(storage, pattern);
    if (kind === 'file') plain.push(pattern);
    else files.push(...(await (kind === 'glob' ? globShards : folder)(storage, pattern, tell)));
  }
  for (const root of new Set(plain.map(rootOf))) {
    const there = plain.filter((path) => rootOf(path) === root);
    const base = commonFolder(there.map(normalize));
    for (const path of there) files.push({ path, base, pattern: path });
  }
  if (patterns.length === 0)
    throw usageError('no-shards', 'no shards were named. Give files, folders or globs.');
  return distinct(files.map(shardOf)).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/**
 * The files that globs, paths and folders name, in the order in which they are named, those of one pattern sorted in code
 * unit order; a folder stands for the files below it that are wanted.
 * @throws TokensieveError (usage) `no-shards` where a pattern names none; `glob-too-wild`
 */
export async function expandFiles(
  storage: Storage,
  patterns: readonly string[],
  isWanted: (path: string) => boolean,
): Promise<readonly string[]> {
  const files: string[] = [];
  for (const pattern of patterns) {
    const kind = await kindOf(storage, pattern);
    if (kind === 'file') files.push(pattern);
    else if (kind === 'glob')
      files.push(...(await glob(storage, pattern)).found.map(({ path }) => path).sort(byNumbers));
    else {
      const found = (await storage.list(pattern)).filter(
        (path) => isWanted(path) && !isLeftOut(below(pattern, path)),
      );
      if (found.length === 0) {
        throw usageError(
          'no-shards',
          `${pattern}: no such file, and no folder that holds any of a known form.`,
        );
      }
      files.push(...[...found].sort(byNumbers));
    }
  }
  return files;
}

/** `scores_2` before `scores_10`, as whoever numbered them meant it: where nothing is compared, order is all there is. */
const numbers = new Intl.Collator('en', { numeric: true });
const byNumbers = (a: string, b: string): number => numbers.compare(a, b) || (a < b ? -1 : 1);

/** An existing file is a file even when its name looks like a glob. */
async function kindOf(storage: Storage, pattern: string): Promise<'file' | 'glob' | 'folder'> {
  // A web server lists nothing, and the query of a URL looks like a glob.
  if (/^https?$/.test(schemeOf(pattern) ?? '')) return 'file';
  try {
    await storage.stat(pattern);
    return 'file';
  } catch (error) {
    const { isGlob } = picomatch.scan(pattern);
    // Stores that hide what is missing from those who may not list say that it is not theirs to read.
    const isNoFile = ['not-found', 'not-a-file', ...(isGlob ? ['not-readable'] : [])];
    if (!(error instanceof TokensieveError && isNoFile.includes(error.code))) throw error;
    return isGlob ? 'glob' : 'folder';
  }
}

/**
 * picomatch compiles a pattern into a regular expression that backtracks: a dozen wildcards, or two repeated groups,
 * against a name of fifty characters take hours. What these limits let through takes milliseconds.
 */
function refuseWild(pattern: string): void {
  const refuse = (found: string): never => {
    throw usageError(
      'glob-too-wild',
      `${pattern}: ${found}; name a folder, or several simpler patterns instead.`,
    );
  };
  if (pattern.length > MAX_PATTERN)
    refuse(`a pattern of ${pattern.length} characters, at most ${MAX_PATTERN} are taken`);
  if (/[()]/.test(pattern)) refuse('parentheses are not taken in a pattern, use {a,b}');
  if ((pattern.match(/\{/g)?.length ?? 0) > MAX_BRACES) refuse(`more than ${MAX_BRACES} groups in braces`);
  const parts = pattern.split('/');
  if (parts.filter((part) => part.includes('**')).length > MAX_GLOBSTARS)
    refuse(`more than ${MAX_GLOBSTARS} times **`);
  const wild = parts.find((part) => (part.replaceAll('**', '*').match(/[*+]/g)?.length ?? 0) > MAX_WILDCARDS);
  if (wild !== undefined) refuse(`more than ${MAX_WILDCARDS} wildcards in one name`);
}

/** Files that a glob matches, and the folder that it lists. */
async function glob(
  storage: Storage,
  pattern: string,
): Promise<{
  readonly found: readonly Found[];
  readonly hidden: readonly Found[];
  readonly listed: readonly string[];
  readonly linked: readonly string[];
}> {
  refuseWild(pattern);
  const root = rootOf(pattern);
  const { base, glob: rest } = picomatch.scan(pattern.slice(root.length));
  const folder = root + (base === '' && root === '' ? (pattern.startsWith('/') ? '/' : '.') : base);
  const matches = picomatch(rest);
  const isOut = isLeftOutOf(rest);
  const shallow = !rest.includes('/') && !rest.includes('**');
  const links: string[] = [];
  const listed = await storage.list(folder, { shallow, linked: (path) => links.push(path) });
  const linked = links.map((path) => below(folder, path)).filter((path) => !shallow || matches(path));
  const matched = listed
    .filter((path) => matches(below(folder, path)) && !isReport(path))
    .map((path) => ({ path, base: folder, pattern }));
  const found = matched.filter(({ path }) => !isOut(below(folder, path)));
  const hidden = matched.filter((file) => !found.includes(file));
  if (found.length === 0) {
    const only =
      hidden.length === 0
        ? linked.length > 0
          ? ` but links to folders, which are not followed (${linked[0]})`
          : ''
        : ` but ${hidden.length} below names that begin with _ or ., which are left out`;
    throw usageError(
      'no-shards',
      `${pattern}: no file matches${only}. Check the path and the quotes around it.`,
    );
  }
  // A table's log lies beside its files, where a glob of one level does not look.
  const log = shallow ? await storage.list(joinPath(folder, '_delta_log')) : [];
  return { found, hidden, listed: [...listed, ...log, ...(await logAbove(storage, folder))], linked };
}

/** The log of the Delta table that a partition's folder (`lang=en`) belongs to. */
async function logAbove(storage: Storage, folder: string): Promise<readonly string[]> {
  let table = folder.replace(/\/+$/, '');
  while (posix.basename(table).includes('=')) table = posix.dirname(table);
  const isPartition = table !== folder.replace(/\/+$/, '');
  return isPartition ? storage.list(joinPath(table, '_delta_log'), { shallow: true }) : [];
}

async function globShards(
  storage: Storage,
  pattern: string,
  tell: (note: string) => void,
): Promise<readonly Found[]> {
  const { found, hidden, listed, linked } = await glob(storage, pattern);
  const shards = found.map(({ path }) => path);
  for (const note of await checkTables(storage, { listed, shards })) tell(note);
  const left = {
    hidden: hidden.filter(({ path }) => formatOf(path) !== null),
    others: [],
    taken: shards,
    linked,
  };
  for (const note of leavingNotes(pattern, { ...left, hidden: left.hidden.map(belowBase) })) tell(note);
  return found;
}

async function folder(
  storage: Storage,
  path: string,
  tell: (note: string) => void,
): Promise<readonly Found[]> {
  const linked: string[] = [];
  const listed = await storage.list(path, { linked: (link) => linked.push(below(path, link)) });
  const files = listed.map((file) => ({ path: file, base: path, pattern: path }));
  const shards = files.filter((file) => formatOf(file.path) !== null && !isReport(file.path));
  const found = shards.filter((file) => !isLeftOut(belowBase(file)));
  const hidden = shards.filter((file) => !found.includes(file)).map(belowBase);
  if (found.length > 0) {
    const taken = found.map((file) => file.path);
    const logged = [...listed, ...(await logAbove(storage, path))];
    for (const note of await checkTables(storage, { listed: logged, shards: taken })) tell(note);
    const others = files.filter((file) => formatOf(file.path) === null).map(belowBase);
    for (const note of leavingNotes(path, { hidden, others, taken, linked })) tell(note);
    return found;
  }
  const only =
    hidden.length === 0 ? '' : ` but ${hidden.length} below names that begin with _ or ., which are left out`;
  throw usageError(
    'no-shards',
    listed.length === 0
      ? `${path}: no such file or folder, or nothing in it${linked.length > 0 ? ' but links to folders, which are not followed: name them' : ''}. Check the path.`
      : `${path}: none of its ${listed.length} files has a known extension (${KNOWN})${only}.`,
  );
}

const belowBase = ({ base, path }: Found): string => below(base, path);

function shardOf({ path, base, pattern }: Found): Shard {
  const format = formatOf(path);
  if (format === null) {
    const through = pattern === path ? '' : ` (matched by ${pattern})`;
    throw usageError(
      'unknown-format',
      `${path}${through}: unknown extension, expected one of ${KNOWN}. Narrow the pattern or rename the file.`,
    );
  }
  return { path, name: shardName(base, path), format };
}

function distinct(shards: readonly Shard[]): Shard[] {
  const byName = new Map<string, Shard>();
  const byPath = new Map<string, Shard>();
  for (const shard of shards) {
    const path = normalize(shard.path);
    const same = byName.get(shard.name);
    if (same && normalize(same.path) !== path) {
      throw usageError(
        'same-name',
        `${same.path} and ${shard.path} would both be named ${shard.name} in the output. Name their common folder instead, as in 'folder/**/*.parquet'.`,
      );
    }
    const twice = byPath.get(path);
    if (twice && twice.name !== shard.name) {
      throw usageError(
        'shard-twice',
        `${shard.path} is named twice, as ${twice.name} and as ${shard.name}: its text would count twice. Drop one of the patterns.`,
      );
    }
    byName.set(shard.name, shard);
    byPath.set(path, shard);
  }
  return [...byName.values()];
}

/** An absolute path without `.` and `..`; a URL as it is, without its query. */
const normalize = (path: string): string => (isUrl(path) ? withoutQuery(path) : absolutePath(path));

/** The names of a store are anybody's: one that leads out of the output folder must not become a path there. */
function shardName(base: string, path: string): string {
  if (!isUrl(path)) return posix.relative(normalize(base), normalize(path));
  const rest = below(normalize(base), normalize(path));
  const names = rest.split('/').map((name) => (/^https?:/i.test(path) ? decoded(name) : name));
  const bad = names.find((name) => /^\.{0,2}$|[/\\\0]/.test(name));
  if (bad === undefined) return names.join('/');
  throw usageError(
    'bad-name',
    `${path}: ${JSON.stringify(rest)} cannot be a shard's name, it has the step ${JSON.stringify(bad)}; give the object another name`,
  );
}

/** Percent signs of a URL's path undone, so that a shard is called as its file is. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

const below = (folder: string, path: string): string =>
  path.slice(folder.endsWith('/') ? folder.length : folder.length + 1);

/** The deepest folder that holds all of the (normalized) files. */
function commonFolder(paths: readonly string[]): string {
  const [first = [], ...others] = paths.map((path) => path.split('/').slice(0, -1));
  const common = [...first];
  for (const other of others) {
    const differs = common.findIndex((part, i) => part !== other[i]);
    if (differs >= 0) common.length = differs;
  }
  return common.join('/') || '/';
}
