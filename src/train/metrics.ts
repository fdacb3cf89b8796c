/**
 * metrics.jsonl: a line of JSON for every step, with its own checksum. It is written as training goes, made durable before a checkpoint
 * names its length, and cut back to that length when the run is resumed from it.
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { readLines } from '../corpus/lines.js';
import { fatalError, inputError } from '../errors.js';
import { ioError } from '../storage/io-error.js';
import { syncFolders } from '../storage/local.js';
import { crc32c } from './crc32c.js';
import type { StepMetrics } from './step-metrics.js';

/** Longest line that is read; held-out names and figures of a thousand folders fit. */
const MAX_LINE_BYTES = 2 ** 20;
const NEWLINE = 0x0a;

const count = z.int().min(0);
const metricsSchema = z.object({
  step: z.int().min(1),
  tokens: count,
  loss: z.number().nullable(),
  loss_selected: z.number().nullable(),
  loss_unselected: z.number().nullable(),
  eligible: count,
  kept: count,
  gradient_norm: z.number().nullable(),
  learning_rate: z.number(),
  loss_scale: z.number().exactOptional(),
  skipped_steps: count.exactOptional(),
  empty_steps: count.exactOptional(),
  held_out: z.record(z.string(), z.number()).exactOptional(),
  seconds: z.number(),
  tokens_per_second: z.number(),
}) satisfies z.ZodType<StepMetrics>;

export interface MetricsWriter {
  /** @throws fatal `bad-metrics` for figures that are not finite: JSON has none. */
  append(metrics: StepMetrics): Promise<void>;
  /** Makes all lines durable (fsync). Resolves to the file's length in bytes, for the checkpoint. */
  flush(): Promise<number>;
  close(): Promise<void>;
}

/**
 * Opens the file for appending, made if absent, after cutting it back to its first `keepBytes`.
 * @throws fatal `metrics-cut` when it is shorter, or a line goes on beyond the cut: it is not the checkpoint's; input
 *   `bad-metrics` when a line that stays is damaged
 */
export async function openMetrics(path: string, keepBytes = 0): Promise<MetricsWriter> {
  const file = await open(path, 'a+').catch((error: unknown) => {
    throw ioError('write', path, error);
  });
  const step = async <T>(act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      throw ioError('write', path, error);
    }
  };
  let length = keepBytes;
  try {
    await step(() => cut(file, path, keepBytes));
    // Before the steps to come are taken, and not when their report is drawn.
    for await (const _ of readMetrics(path));
    await step(() => syncFolders(dirname(path), undefined));
  } catch (error) {
    await file.close();
    throw error;
  }
  return {
    async append(metrics) {
      const line = Buffer.from(`${summed(JSON.stringify(checked(metrics, path)))}\n`);
      await step(() => file.appendFile(line));
      length += line.length;
    },
    async flush() {
      await step(() => file.sync());
      return length;
    },
    close: () => file.close(),
  };
}

function checked(metrics: StepMetrics, path: string): StepMetrics {
  const [issue] = metricsSchema.safeParse(metrics).error?.issues ?? [];
  if (issue === undefined) return metrics;
  throw fatalError(
    'bad-metrics',
    `${path}: step ${metrics.step} has field ${issue.path.join('.')}: ${issue.message}`,
  );
}

async function cut(file: FileHandle, path: string, keepBytes: number): Promise<void> {
  const { size } = await file.stat();
  const last = new Uint8Array([NEWLINE]);
  if (keepBytes > 0 && keepBytes <= size) await file.read(last, 0, 1, keepBytes - 1);
  if (size < keepBytes || last[0] !== NEWLINE) {
    throw fatalError(
      'metrics-cut',
      `${path}: has ${size} bytes, the checkpoint was written when it had ${keepBytes} whole lines' worth; put back the file that belongs to the checkpoint, or choose another output folder`,
    );
  }
  await file.truncate(keepBytes);
  await file.sync();
}

/** The last member of a line: CRC-32C of the line as it is without it. */
const CHECKSUM = /,"crc32c":"([^"]*)"\}$/;
const checksumOf = (json: string): string => crc32c(Buffer.from(json)).toString(16).padStart(8, '0');
const summed = (json: string): string => `${json.slice(0, -1)},"crc32c":"${checksumOf(json)}"}`;

/**
 * The steps that a file holds, in order. A last line that a killed run left half-written is passed over.
 * @throws input `bad-metrics` naming the line and the field, or that it is damaged or missing; lines of before 2026-12 have
 *   no checksum
 */
export async function* readMetrics(path: string): AsyncGenerator<StepMetrics, void, undefined> {
  let last = NEWLINE;
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
        last = chunk.at(-1) ?? last;
        yield chunk;
      }
    } catch (error) {
      throw ioError('read', path, error);
    }
  };
  // One line is held back: only the last may be torn.
  let held: { readonly text: string; readonly number: number } | undefined;
  let before: number | null = null;
  const next = ({ text, number }: NonNullable<typeof held>): StepMetrics => {
    const { metrics, isSummed } = parseLine(text, number, path);
    if (isSummed && before !== null && metrics.step !== before + 1)
      throw broken(path, number, `is of step ${metrics.step} after ${before}`);
    before = metrics.step;
    return metrics;
  };
  for await (const line of readLines(bytes(), MAX_LINE_BYTES)) {
    if (held !== undefined) yield next(held);
    if (line.kind === 'too-long') {
      throw broken(path, line.number, `is ${line.bytes} bytes long; at most ${MAX_LINE_BYTES} are read`);
    }
    held = { text: Buffer.from(line.bytes).toString('utf8'), number: line.number };
  }
  if (held === undefined || (last !== NEWLINE && !isJson(held.text))) return;
  yield next(held);
}

function parseLine(
  text: string,
  number: number,
  path: string,
): { readonly metrics: StepMetrics; readonly isSummed: boolean } {
  if (!isJson(text)) throw broken(path, number, 'is not JSON');
  const [, sum] = CHECKSUM.exec(text) ?? [];
  if (sum !== undefined && sum !== checksumOf(text.replace(CHECKSUM, '}')))
    throw broken(path, number, 'is damaged, its checksum is not that of its content');
  const parsed = metricsSchema.safeParse(JSON.parse(text));
  if (parsed.success) return { metrics: parsed.data, isSummed: sum !== undefined };
  const [issue] = parsed.error.issues;
  throw broken(path, number, `has field ${issue?.path.join('.') || '(whole)'}: ${issue?.message}`);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const broken = (path: string, number: number, found: string) =>
  inputError(
    'bad-metrics',
    `${path}: line ${number + 1} ${found}; expected the metrics of the training step that comes next`,
  );
