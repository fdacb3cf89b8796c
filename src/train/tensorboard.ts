/**
 * TensorBoard event files: records of a length, its checksum, a message and its checksum (TFRecord); messages are
 * tensorflow.Event, https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto.
 * A resumed run opens a new file whose first records tell TensorBoard to drop what the run before it wrote from
 * the step on that comes next (`SessionLog.START`).
 */
import { mkdir, open, readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { ioError } from '../storage/io-error.js';
import { maskedCrc32c } from './crc32c.js';
import type { StepMetrics } from './step-metrics.js';

export interface EventWriter {
  write(metrics: StepMetrics): Promise<void>;
  close(): Promise<void>;
}

/** Field numbers of tensorflow.Event, Summary, Summary.Value and SessionLog. */
const event = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const summary = { value: 1 } as const;
const value = { tag: 1, simpleValue: 2 } as const;
const sessionLog = { status: 1 } as const;
const SESSION_START = 1;

/**
 * Opens a new event file in `folder` (made if absent).
 * @param nextStep the first step to be written, from 1: what older files say of it and of later ones is dropped
 * @param now milliseconds since 1970
 */
export async function openEvents(
  folder: string,
  nextStep: number,
  now: () => number = Date.now,
): Promise<EventWriter> {
  try {
    await mkdir(folder, { recursive: true });
    const path = join(folder, await fileName(folder, Math.floor(now() / 1000)));
    const file = await open(path, 'wx');
    const append = async (message: BinaryWriter): Promise<void> => {
      try {
        await file.appendFile(record(message.finish()));
      } catch (error) {
        throw ioError('write', path, error);
      }
    };
    const start = (step: number): BinaryWriter =>
      new BinaryWriter()
        .tag(event.wallTime, WireType.Bit64)
        .double(now() / 1000)
        .tag(event.step, WireType.Varint)
        .int64(step);
    await append(start(nextStep).tag(event.fileVersion, WireType.LengthDelimited).string('brain.Event:2'));
    await append(
      start(nextStep)
        .tag(event.sessionLog, WireType.LengthDelimited)
        .fork()
        .tag(sessionLog.status, WireType.Varint)
        .int32(SESSION_START)
        .join(),
    );
    return {
      write: (metrics) => append(withScalars(start(metrics.step), scalarsOf(metrics))),
      close: () => file.close(),
    };
  } catch (error) {
    throw ioError('write', folder, error);
  }
}

/** TensorBoard reads a folder's files in the order of their names: a new one comes after all that are there. */
async function fileName(folder: string, seconds: number): Promise<string> {
  const taken = (await readdir(folder)).map((name) => Number(/\.tfevents\.(\d{10})\./.exec(name)?.[1] ?? 0));
  const time = Math.max(seconds, ...taken.map((other) => other + 1));
  const host = hostname().replace(/[^\w-]/g, '_');
  return `events.out.tfevents.${String(time).padStart(10, '0')}.${host}.${process.pid}`;
}

/** Tags and values of a step; what it did not compute is left out. */
export function scalarsOf(metrics: StepMetrics): readonly (readonly [tag: string, value: number])[] {
  const all: readonly (readonly [string, number | null])[] = [
    ['loss/all', metrics.loss],
    ['loss/selected', metrics.loss_selected],
    ['loss/unselected', metrics.loss_unselected],
    ['kept_share', metrics.eligible === 0 ? null : metrics.kept / metrics.eligible],
    ['gradient_norm', metrics.gradient_norm],
    ['learning_rate', metrics.learning_rate],
    ['loss_scale', metrics.loss_scale ?? null],
    ['skipped_steps', metrics.skipped_steps ?? null],
    ['empty_steps', metrics.empty_steps ?? null],
    ['tokens_per_second', metrics.tokens_per_second],
    ...Object.entries(metrics.held_out ?? {}).map(([name, loss]) => [`held_out/${name}`, loss] as const),
  ];
  return all.flatMap(([tag, number]) => (number === null ? [] : [[tag, number] as const]));
}

function withScalars(message: BinaryWriter, scalars: ReturnType<typeof scalarsOf>): BinaryWriter {
  message.tag(event.summary, WireType.LengthDelimited).fork();
  for (const [tag, number] of scalars) {
    message
      .tag(summary.value, WireType.LengthDelimited)
      .fork()
      .tag(value.tag, WireType.LengthDelimited)
      .string(tag)
      .tag(value.simpleValue, WireType.Bit32)
      .float(number)
      .join();
  }
  return message.join();
}

/** TFRecord: uint64 length, its checksum, the message, its checksum; little-endian. */
function record(message: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(16 + message.length);
  bytes.writeBigUInt64LE(BigInt(message.length), 0);
  bytes.writeUInt32LE(maskedCrc32c(bytes.subarray(0, 8)), 8);
  bytes.set(message, 12);
  bytes.writeUInt32LE(maskedCrc32c(message), 12 + message.length);
  return bytes;
}
