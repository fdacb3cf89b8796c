/**
 * Headers of .safetensors files: eight bytes of length, JSON that places each tensor, then the tensors.
 * https://github.com/huggingface/safetensors#format. Nothing in a file is trusted before it is checked.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { z } from 'zod';
import { fatalError, firstLine } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import { plainFileSize } from '../storage/read-text.js';
import { refuseLfsPointer } from './lfs-pointer.js';

/** Bits an element, of every type that the format has. */
const elementBits: Readonly<Record<string, number>> = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E4M3: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2: 8,
  F8_E5M2FNUZ: 8,
  F8_E8M0: 8,
  U16: 16,
  I16: 16,
  F16: 16,
  BF16: 16,
  U32: 32,
  I32: 32,
  F32: 32,
  U64: 64,
  I64: 64,
  F64: 64,
  C64: 64,
};

/** A tensor's place: bytes [offset, offset + length) of `file`. */
export interface TensorEntry {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** The format's own bound on the header, and one on what a checkpoint of any real model holds. */
export const maxHeaderBytes = 100_000_000;
const maxRank = 32;

const entrySchema = z.object({
  dtype: z.string().max(32),
  shape: z.array(z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)).max(maxRank),
  data_offsets: z.tuple([z.number().int().min(0), z.number().int().min(0)]),
});

const broken = (file: string, found: string) =>
  fatalError(
    'broken-safetensors',
    `${file}: ${found}; expected a whole .safetensors file: fetch or save the checkpoint again`,
  );

/**
 * Reads the header of one file. Tensors come in the order of their bytes.
 * @throws fatal `git-lfs-pointer`; `broken-safetensors` naming the file and what is wrong with it.
 */
export async function readSafetensorsHeader(file: string): Promise<TensorEntry[]> {
  const unreadable = (error: unknown) => {
    throw fatalError(
      'unreadable-weights',
      `${file}: cannot be opened (${firstLine(error)}); check the path and permissions`,
      { cause: error },
    );
  };
  // Asked before it is opened: opening a pipe waits for somebody to write into it.
  const size = await plainFileSize(file).catch(unreadable);
  await refuseLfsPointer(file);
  const handle = await open(file, 'r').catch(unreadable);
  try {
    const text = await readHeaderText(handle, file, size);
    const headerEnd = 8 + text.length;
    const entries = parseHeader(text, file, headerEnd);
    checkLayout(entries, file, headerEnd, size);
    return entries;
  } finally {
    await handle.close();
  }
}

async function readHeaderText(handle: FileHandle, file: string, size: number): Promise<Buffer> {
  if (size < 8) throw broken(file, `has ${size} bytes, fewer than the 8 that hold the header's length`);
  const prefix = Buffer.alloc(8);
  await handle.read(prefix, 0, 8, 0);
  const length = prefix.readBigUInt64LE();
  // Eight printable characters are a length beyond any file: a page that a server sent, or a pointer to the file.
  const start = prefix.toString('latin1');
  if (/^[\x20-\x7e\r\n\t]{8}$/.test(start)) {
    throw broken(
      file,
      `is text (it begins with ${JSON.stringify(start)}), such as a page that a server sent in the place of the file`,
    );
  }
  if (length > BigInt(maxHeaderBytes)) {
    throw broken(file, `claims a header of ${length} bytes, more than the format's ${maxHeaderBytes}`);
  }
  if (length + 8n > BigInt(size)) {
    throw broken(file, `claims a header of ${length} bytes but has only ${size} bytes in all`);
  }
  const text = Buffer.alloc(Number(length));
  await handle.read(text, 0, text.length, 8);
  return text;
}

function parseHeader(text: Buffer, file: string, headerEnd: number): TensorEntry[] {
  let json: unknown;
  try {
    json = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (error) {
    throw fatalError(
      'broken-safetensors',
      `${file}: its header is not JSON of tensors (${firstLine(error)}); fetch the checkpoint again`,
      { cause: error },
    );
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw broken(file, 'has a header that is not an object');
  }
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') continue;
    const parsed = entrySchema.safeParse(value);
    if (!parsed.success)
      throw broken(file, `tensor ${JSON.stringify(name)} has no valid dtype, shape, data_offsets`);
    const {
      dtype,
      shape,
      data_offsets: [start, end],
    } = parsed.data;
    const bytes = byteLength(dtype, shape);
    if (bytes === null) throw broken(file, `tensor ${name} has unknown dtype ${JSON.stringify(dtype)}`);
    if (end - start !== bytes) {
      throw broken(file, `tensor ${name} is ${dtype} [${shape}], ${bytes} bytes, but takes ${end - start}`);
    }
    entries.push({ name, type: dtype, shape, file, offset: headerEnd + start, length: bytes });
  }
  return entries.sort((a, b) => a.offset - b.offset || a.length - b.length);
}

function byteLength(dtype: string, shape: readonly number[]): number | null {
  const bits = Object.hasOwn(elementBits, dtype) ? elementBits[dtype] : undefined;
  return bits === undefined ? null : shape.reduce((product, size) => product * size, bits) / 8;
}

function checkLayout(entries: readonly TensorEntry[], file: string, start: number, size: number): void {
  let end = start;
  for (const entry of entries) {
    if (entry.offset < end) throw broken(file, `tensor ${entry.name} overlaps the one before it`);
    end = entry.offset + entry.length;
    if (end > size) {
      throw broken(file, `tensor ${entry.name} ends at byte ${end} but the file has ${size}`);
    }
  }
}
