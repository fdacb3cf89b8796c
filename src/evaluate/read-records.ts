/** A file of JSON lines, each a record of some kind or set aside with its reason. */
import { BrokenStream } from '../corpus/broken-stream.js';
import { decompressed } from '../corpus/byte-stream.js';
import { formatOf } from '../corpus/expand.js';
import { readLines } from '../corpus/lines.js';
import { firstLine } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import type { ItemReason } from '../parts/events.js';
import type { Storage } from '../storage/storage.js';
import { refuseChanged } from '../storage/unchanged.js';

/** Longest line, in bytes. */
const MAX_LINE_BYTES = 1 << 24;

/** A line that is no record, and why. `line` counts from 0. */
export interface BadRecord {
  readonly line: number;
  readonly bytes: number;
  readonly reason: 'bad-json' | 'not-unicode' | 'broken-shard' | ItemReason;
  readonly detail: string;
}

export interface ReadRecord<T> {
  readonly line: number;
  readonly bytes: number;
  readonly record: T;
}

/**
 * Every line that is not blank, in order.
 * @param recordOf makes a record of a line's value, or says in words why there is none
 * @throws errors of the disk, `not-found` among them; (fatal) `object-changed` at the end of a file that changed meanwhile
 */
export async function* readRecords<T extends object>(
  storage: Storage,
  path: string,
  recordOf: (value: unknown) => T | string,
): AsyncGenerator<ReadRecord<T> | BadRecord> {
  const version = await storage.stat(path);
  const format = formatOf(path);
  let last = -1;
  try {
    const stream = decompressed(
      storage,
      path,
      version,
      format === null || format === 'parquet' ? 'jsonl' : format,
    );
    for await (const line of readLines(stream, MAX_LINE_BYTES)) {
      last = line.number;
      const bytes = (typeof line.bytes === 'number' ? line.bytes : line.bytes.length) + 1;
      const bad = (reason: BadRecord['reason'], detail: string): BadRecord => ({
        line: last,
        bytes,
        reason,
        detail,
      });
      if (line.kind === 'too-long') {
        yield bad('oversized-item', `the line has ${line.bytes} bytes, at most ${MAX_LINE_BYTES} are taken`);
        continue;
      }
      let text: string;
      try {
        text = strict.decode(line.bytes);
      } catch {
        yield bad('not-unicode', 'the line is not well-formed UTF-8');
        continue;
      }
      if (text.trim() === '') continue;
      let value: unknown;
      try {
        value = parseJson(text);
      } catch (error) {
        yield bad('bad-json', firstLine(error));
        continue;
      }
      const record = recordOf(value);
      yield typeof record === 'string' ? bad('bad-item', record) : { line: last, bytes, record };
    }
  } catch (error) {
    if (!(error instanceof BrokenStream)) throw error;
    yield { line: last + 1, bytes: 0, reason: 'broken-shard', detail: firstLine(error) };
  }
  await refuseChanged(storage, path, version);
}

const strict = new TextDecoder('utf-8', { fatal: true });
