import { type FileHandle, open } from 'node:fs/promises';
import pLimit from 'p-limit';
import { createJobProgress } from './array-progress.js';
import { createPartEvents, type PartEvents } from './parts.js';
import type { LogEvent, Progress } from './progress.js';
import type { BrokenShard } from './quarantine.js';

export interface LogLine {
  /** 1 for the first. */
  readonly line: number;
  readonly event: LogEvent;
}

/**
 * A job's log.jsonl as it grows: how many lines there are, what they add up to, and any stretch of them. Memory does
 * not grow with the log but for one offset every few hundred lines.
 */
export interface JobLog {
  /** Lines seen so far. */
  lines(): number;
  progress(): Progress;
  readonly parts: PartEvents;
  /** Shards that could not be opened in the last attempt. */
  brokenShards(): readonly BrokenShard[];
  /** What the command in work last said on its own account, such as why it failed. Null for nothing. */
  lastWords(): string | null;
  /** Reads what was added. Resolves to whether there was anything. */
  refresh(): Promise<boolean>;
  /** Lines after line `after`, at most `limit`. */
  read(after: number, limit: number): Promise<LogLine[]>;
}

/** Lines between two offsets that are remembered. */
const EVERY = 256;
/** Lines of the end that are held, for all who follow the job. */
const RECENT = 1024;
const CHUNK_BYTES = 1 << 18;
/** A longer line is cut: events are short, and a page must not be drowned. */
const MAX_LINE_BYTES = 1 << 16;
/** Broken shards remembered. */
const MAX_BROKEN = 10_000;

/** Reads of lines that are not held, a few at a time: hundreds of followers would hold everything else up. */
const earlier = pLimit(2);

export function openLog(path: string, stages: readonly string[]): JobLog {
  /** Offset of lines 1, 1 + EVERY, … */
  const offsets: number[] = [0];
  let recent: LogLine[] = [];
  let lines = 0;
  let end = 0;
  const progress = createJobProgress(stages);
  let lastWords: string | null = null;
  const parts = createPartEvents();
  let broken = new Map<string, BrokenShard>();
  let reading: Promise<boolean> | null = null;

  const note = (event: LogEvent): void => {
    progress.add(event);
    parts.add(event);
    const { shard, reason, detail, message } = event;
    if (event.event === 'attempt') {
      lastWords = null;
      broken = new Map();
    }
    if (event.event === 'text' && typeof message === 'string' && /^tokensieve: (?!stopping;)/.test(message)) {
      lastWords = message;
    }
    if (reason === 'broken-shard' && typeof shard === 'string' && broken.size < MAX_BROKEN) {
      broken.set(shard, { shard, detail: String(detail) });
    }
  };

  const advance = async (): Promise<boolean> => {
    const before = lines;
    for await (const { text, next } of linesFrom(path, end)) {
      lines++;
      end = next;
      if (lines % EVERY === 0) offsets.push(next);
      const event = eventOf(text);
      note(event);
      recent.push({ line: lines, event });
      if (recent.length >= 2 * RECENT) recent = recent.slice(-RECENT);
    }
    return lines > before;
  };

  return {
    lines: () => lines,
    progress: progress.read,
    parts,
    brokenShards: () => [...broken.values()],
    lastWords: () => lastWords,
    refresh() {
      reading ??= advance().finally(() => {
        reading = null;
      });
      return reading;
    },
    async read(after, limit) {
      const found: LogLine[] = [];
      const start = Math.max(0, after);
      const [oldest] = recent;
      if (oldest !== undefined && start + 1 >= oldest.line) {
        return recent.slice(start + 1 - oldest.line, start + 1 - oldest.line + Math.max(0, limit));
      }
      let line = Math.floor(start / EVERY) * EVERY;
      const offset = offsets[line / EVERY];
      if (offset === undefined || start >= lines || limit < 1) return found;
      return earlier(async () => {
        for await (const { text } of linesFrom(path, offset)) {
          line++;
          if (line > start) found.push({ line, event: eventOf(text) });
          if (line >= lines || found.length >= limit) break;
        }
        return found;
      });
    },
  };
}

/** A line as an event; what is no JSON object with a name is text. */
export function eventOf(text: string): LogEvent {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'event' in value && typeof value.event === 'string') {
      return value as LogEvent;
    }
  } catch {
    // Not JSON: a message.
  }
  return { event: 'text', message: text };
}

/** Whole lines from a byte offset on, empty ones too, each with the offset of the next. None when there is no file. */
async function* linesFrom(
  path: string,
  offset: number,
): AsyncGenerator<{ readonly text: string; readonly next: number }> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch {
    return;
  }
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let held: Buffer[] = [];
    let heldBytes = 0;
    for (let at = offset; ; ) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
      if (bytesRead === 0) return;
      let from = 0;
      for (;;) {
        const newline = chunk.subarray(0, bytesRead).indexOf(10, from);
        const piece = chunk.subarray(from, newline === -1 ? bytesRead : newline);
        if (heldBytes < MAX_LINE_BYTES) held.push(Buffer.from(piece.subarray(0, MAX_LINE_BYTES - heldBytes)));
        heldBytes += piece.length;
        if (newline === -1) break;
        yield { text: Buffer.concat(held).toString('utf8'), next: at + newline + 1 };
        held = [];
        heldBytes = 0;
        from = newline + 1;
      }
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}
