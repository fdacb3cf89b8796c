/**
 * gzip streams, member by member. Node's own Gunzip drops what it has decoded when bytes that are no member follow the last one,
 * and ends in silence at a zero byte between two members; Python's gzip gives all lines before the one and reads on after the other.
 * Source: RFC 1952; zeros between and behind members as Python's gzip and gzip(1) take them. A header's own checksum is passed over as there.
 */
import zlib from 'node:zlib';
import { BrokenStream } from './broken-stream.js';
import type { ByteQueue } from './byte-queue.js';

const DEFLATE = 8;
const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;

/** Compressed bytes of one step: what they become, at most a thousandfold, is held at once. */
const STEP_BYTES = 1 << 14;
const OUTPUT_BYTES = 1 << 16;
/** A member that lies within this many bytes (bgzip makes such) is inflated by one call. */
const SMALL_MEMBER_BYTES = 1 << 16;
const SMALL_OUTPUT_BYTES = 1 << 20;

/** @throws BrokenStream with the byte of the file at which it is cut off, corrupt, or no gzip any more. */
export async function* gzipStream(input: ByteQueue): AsyncGenerator<Uint8Array, void, undefined> {
  for (let members = 0; ; members++) {
    if (members > 0) await skipZeros(input);
    const start = input.position();
    const [a, b] = await input.peek(2);
    if (a === undefined && members > 0) return;
    if (a !== 0x1f || b !== 0x8b) {
      const found = Buffer.from(await input.peek(8)).toString('hex');
      throw members === 0
        ? new BrokenStream(`no gzip member at byte ${start} (${found || 'the file is empty'})`)
        : new BrokenStream(
            `bytes that are no gzip member follow the last one, from byte ${start} on (${found})`,
            {
              whole: true,
            },
          );
    }
    await skipHeader(input);
    let crc = 0;
    let size = 0;
    for await (const bytes of inflated(input)) {
      crc = zlib.crc32(bytes, crc);
      size = (size + bytes.length) % 2 ** 32;
      yield bytes;
    }
    const trailer = Buffer.from(await input.take(8));
    if (trailer.readUInt32LE(0) !== crc) {
      throw new BrokenStream(`the checksum of the gzip member at byte ${start} does not match its bytes`);
    }
    if (trailer.readUInt32LE(4) !== size) {
      throw new BrokenStream(`the gzip member at byte ${start} says that it has another length than it has`);
    }
  }
}

async function skipZeros(input: ByteQueue): Promise<void> {
  for (let bytes = await input.some(STEP_BYTES); bytes !== null; bytes = await input.some(STEP_BYTES)) {
    const other = bytes.findIndex((byte) => byte !== 0);
    if (other < 0) continue;
    input.putBack(bytes.subarray(other));
    return;
  }
}

async function skipHeader(input: ByteQueue): Promise<void> {
  const start = input.position();
  const [, , method, flags = 0] = await input.take(10);
  if (method !== DEFLATE)
    throw new BrokenStream(`the gzip member at byte ${start} has method ${method}, expected 8`);
  if (flags & FEXTRA) await input.skip(Buffer.from(await input.take(2)).readUInt16LE(0));
  if (flags & FNAME) await skipPastZero(input);
  if (flags & FCOMMENT) await skipPastZero(input);
  if (flags & FHCRC) await input.skip(2);
}

async function skipPastZero(input: ByteQueue): Promise<void> {
  for (;;) {
    const bytes = await input.some(STEP_BYTES);
    if (bytes === null) throw new BrokenStream(`it is cut off at byte ${input.position()}`);
    const zero = bytes.indexOf(0);
    if (zero < 0) continue;
    input.putBack(bytes.subarray(zero + 1));
    return;
  }
}

/** One deflate stream; the queue then stands behind it. */
async function* inflated(input: ByteQueue): AsyncGenerator<Uint8Array, void, undefined> {
  const small = smallMember(await input.peek(SMALL_MEMBER_BYTES));
  if (small !== null) {
    await input.skip(small.used);
    if (small.output.length > 0) yield small.output;
    return;
  }
  const inflate = zlib.createInflateRaw({ chunkSize: OUTPUT_BYTES });
  let output: Uint8Array[] = [];
  let failure: Error | null = null;
  inflate.on('data', (bytes: Uint8Array) => output.push(bytes));
  const ended = new Promise<void>((resolve) => {
    inflate.on('end', resolve).on('error', (error: Error) => {
      failure = error;
      resolve();
    });
  });
  // One step at a time, its output taken before the next: a failure loses nothing of the steps before it.
  const step = (bytes: Uint8Array): Promise<void> =>
    Promise.race([new Promise<void>((resolve) => inflate.write(bytes, () => resolve())), ended]);
  try {
    for (;;) {
      const bytes = await input.some(STEP_BYTES);
      if (bytes === null) inflate.end();
      const before = inflate.bytesWritten;
      await (bytes === null ? ended : step(bytes));
      yield* output;
      output = [];
      if (failure !== null) {
        const message = (failure as Error).message;
        throw bytes === null
          ? new BrokenStream(`it is cut off at byte ${input.position()}`, { cause: failure })
          : new BrokenStream(`${message}, before byte ${input.position()}`, { cause: failure });
      }
      if (bytes === null) return;
      const used = inflate.bytesWritten - before;
      if (used === bytes.length) continue;
      input.putBack(bytes.subarray(used));
      return;
    }
  } finally {
    inflate.destroy();
  }
}

/** A whole deflate stream at the beginning of the bytes; null where none ends within them, or it is broken. */
function smallMember(bytes: Uint8Array): { readonly output: Uint8Array; readonly used: number } | null {
  try {
    // @types/node does not know `info`: https://nodejs.org/docs/latest-v20.x/api/zlib.html#class-options
    const options = {
      finishFlush: zlib.constants.Z_SYNC_FLUSH,
      maxOutputLength: SMALL_OUTPUT_BYTES,
      info: true,
    };
    const { buffer, engine } = zlib.inflateRawSync(bytes, options) as unknown as {
      readonly buffer: Buffer;
      readonly engine: zlib.InflateRaw;
    };
    const used = engine.bytesWritten;
    return used < bytes.length ? { output: buffer, used } : null;
  } catch {
    return null;
  }
}
