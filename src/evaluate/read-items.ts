import { createHash } from 'node:crypto';
import { BrokenStream } from '../corpus/broken-stream.js';
import { decompressed } from '../corpus/byte-stream.js';
import { type Line, readLines } from '../corpus/lines.js';
import { firstLine, TokensieveError, usageError } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import type { ItemReason } from '../parts/events.js';
import type { Storage } from '../storage/storage.js';
import { refuseChanged } from '../storage/unchanged.js';
import type { Item, Task } from './tasks.js';

/** Longest line of a task's file, in bytes. */
const MAX_LINE_BYTES = 1 << 20;

/** A line that is set aside. `row` is its number from 0. */
export interface BadLine {
  readonly row: number;
  readonly reason: 'bad-json' | 'not-unicode' | 'broken-shard' | 'unspellable' | ItemReason;
  readonly detail: string;
}

/** A task's file: where, how long, and what was read of it once the items are used up. */
export interface TaskFile {
  readonly path: string;
  readonly bytes: number;
  /** Items in file order, at most `most`; lines after them are counted, not parsed. */
  items(most: number, setAside: (line: BadLine) => void): AsyncGenerator<NumberedItem>;
  /** Lines that are not blank, and the file's sha256. */
  read(): { readonly lines: number; readonly sha256: string };
}

export interface NumberedItem {
  /** Line, from 0. */
  readonly row: number;
  /** Bytes of the line. */
  readonly bytes: number;
  readonly item: Item;
}

/** @throws TokensieveError (usage) `no-task-data` when the file is not there */
export async function openTaskFile(storage: Storage, folder: string, task: Task): Promise<TaskFile> {
  const path = `${folder.replace(/\/+$/, '')}/${task.name}/test.jsonl`;
  const version = await storage.stat(path).catch((error: unknown) => {
    if (!(error instanceof TokensieveError && error.code === 'not-found')) throw error;
    throw usageError(
      'no-task-data',
      `${path}: no such file; --task-data expects a folder with TASK/test.jsonl for each task`,
      { cause: error },
    );
  });
  const hash = createHash('sha256');
  let lines = 0;
  let sha256 = '';
  return {
    path,
    bytes: version.size,
    async *items(most, setAside) {
      let given = 0;
      try {
        const bytes = hashing(decompressed(storage, path, version, 'jsonl'), hash);
        for await (const line of readLines(bytes, MAX_LINE_BYTES)) {
          if (isBlank(line)) continue;
          lines++;
          if (given >= most) continue;
          const item = itemOf(line, task);
          if ('reason' in item) setAside({ row: line.number, ...item });
          else {
            given++;
            yield { row: line.number, bytes: lengthOf(line) + 1, item };
          }
        }
      } catch (error) {
        if (!(error instanceof BrokenStream)) throw error;
        setAside({ row: lines, reason: 'broken-shard', detail: firstLine(error) });
      }
      await refuseChanged(storage, path, version);
      sha256 = hash.digest('hex');
    },
    read: () => ({ lines, sha256 }),
  };
}

async function* hashing(
  source: AsyncIterable<Uint8Array>,
  hash: ReturnType<typeof createHash>,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of source) {
    hash.update(bytes);
    yield bytes;
  }
}

const lengthOf = ({ bytes }: Line): number => (typeof bytes === 'number' ? bytes : bytes.length);

const isBlank = (line: Line): boolean =>
  line.kind === 'line' && line.bytes.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09);

const strict = new TextDecoder('utf-8', { fatal: true });

function itemOf(line: Line, { item }: Task): Item | Omit<BadLine, 'row'> {
  if (line.kind === 'too-long') {
    return {
      reason: 'oversized-item',
      detail: `the line has ${line.bytes} bytes, at most ${MAX_LINE_BYTES} are taken`,
    };
  }
  let json: string;
  try {
    json = strict.decode(line.bytes);
  } catch {
    return { reason: 'not-unicode', detail: 'the line is not well-formed UTF-8' };
  }
  let value: unknown;
  try {
    value = parseJson(json);
  } catch (error) {
    return { reason: 'bad-json', detail: firstLine(error) };
  }
  const parsed = item.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.join('.') ?? '';
  return {
    reason: 'bad-item',
    detail: `${field === '' ? 'the line' : field}: ${issue?.message ?? 'not an item'}`,
  };
}
