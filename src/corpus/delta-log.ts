/** Which files a Delta table has, from the newest checkpoint that can be read and the commits after it. */

import { TokensieveError } from '../errors.js';
import { isJsonObject } from '../json/canonical-json.js';
import { parseJson } from '../json/parse-json.js';
import type { Storage } from '../storage/storage.js';
import { codecsReady } from './parquet-codec.js';
import { openColumn } from './parquet-column.js';
import { readFooter } from './parquet-footer.js';

export interface DeltaState {
  /** Files of the table, relative to it; null where the log does not go back to a beginning. */
  readonly live: ReadonlySet<string> | null;
  /** Files that the commits at hand removed last. */
  readonly removed: ReadonlySet<string>;
  /** Files with rows deleted within. */
  readonly withDeletions: ReadonlySet<string>;
  /** Why not all of the log could be read. */
  readonly trouble: string | null;
}

/** Bytes of a log that are read; a commit has some hundred a file. */
const MOST_BYTES = 1 << 28;
const SLICE_ROWS = 4096;

/** @param files of the log's folder, by name */
export async function deltaState(
  storage: Storage,
  folder: string,
  files: readonly string[],
): Promise<DeltaState> {
  const commits = files
    .filter((file) => /^\d{20}\.json$/.test(file))
    .map((file) => ({ file, version: Number(file.slice(0, 20)) }))
    .sort((a, b) => a.version - b.version);
  const state = { live: new Set<string>(), removed: new Set<string>(), withDeletions: new Set<string>() };
  const act = (actions: unknown): void => {
    if (!isJsonObject(actions)) return;
    const { add, remove } = actions;
    if (isJsonObject(remove) && typeof remove['path'] === 'string') {
      const path = plainPath(remove['path']);
      state.live.delete(path);
      state.removed.add(path);
    }
    if (isJsonObject(add) && typeof add['path'] === 'string') {
      const path = plainPath(add['path']);
      state.live.add(path);
      state.removed.delete(path);
      if (add['deletionVector'] != null) state.withDeletions.add(path);
      else state.withDeletions.delete(path);
    }
  };
  let trouble: string | null = null;
  let begun = commits[0]?.version === 0;
  let from = 0;
  const isGapless = commits.every(({ version }, i) => version === i);
  if (!isGapless || !begun) {
    const checkpoint = newestCheckpoint(files);
    if (checkpoint === null)
      trouble = 'its first commits are gone, and no checkpoint of a known form is there';
    else {
      try {
        for (const file of checkpoint.files) await readCheckpoint(storage, `${folder}/${file}`, act);
        begun = true;
        from = checkpoint.version + 1;
      } catch (error) {
        if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
        trouble = error.message;
      }
    }
  }
  const later = commits.filter(({ version }) => version >= from);
  if (begun && later.some(({ version }, i) => version !== from + i)) trouble = 'commits are missing';
  let left = MOST_BYTES;
  for (const { file } of later) {
    const version = await storage.stat(`${folder}/${file}`);
    left -= version.size;
    if (left < 0) return { ...state, live: null, trouble: `more than ${MOST_BYTES} bytes` };
    const bytes = await storage.readRange(`${folder}/${file}`, 0, version.size, version);
    for (const line of Buffer.from(bytes).toString('utf8').split('\n')) {
      if (line.trim() === '') continue;
      try {
        act(parseJson(line));
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        trouble = `${file} is no JSON`;
      }
    }
  }
  return { ...state, live: trouble === null && begun ? state.live : null, trouble };
}

/** A file, or the parts of one. Checkpoints of the second version name further files and are not read. */
function newestCheckpoint(
  files: readonly string[],
): { readonly version: number; readonly files: readonly string[] } | null {
  const byVersion = new Map<number, string[]>();
  for (const file of files) {
    const found = /^(\d{20})\.checkpoint(\.\d{10}\.\d{10})?\.parquet$/.exec(file);
    if (!found) continue;
    const version = Number(found[1]);
    byVersion.set(version, [...(byVersion.get(version) ?? []), file]);
  }
  const [newest] = [...byVersion].sort(([a], [b]) => b - a);
  return newest === undefined ? null : { version: newest[0], files: newest[1] };
}

async function readCheckpoint(
  storage: Storage,
  path: string,
  act: (actions: unknown) => void,
): Promise<void> {
  await codecsReady();
  const footer = await readFooter(storage, path);
  for (const group of footer.rowGroups) {
    for (const name of ['add', 'remove'] as const) {
      const field = footer.fields.find((candidate) => candidate.name === name);
      if (field === undefined) continue;
      const column = openColumn(storage, footer, group, field);
      for (let left = group.rows; left > 0; left -= SLICE_ROWS) {
        const { values } = await column.next(Math.min(left, SLICE_ROWS));
        for (const value of values) if (value !== null) act({ [name]: value });
      }
    }
  }
}

/** Paths of the log are percent-encoded, relative to the table or whole URLs. */
function plainPath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
