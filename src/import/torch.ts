/** Losses that torch.save wrote: a list of lists or tensors, one a record, or one tensor. There are no ids in such files. */

import { inputError, usageError } from '../errors.js';
import { fromBfloat16, fromHalf } from '../numbers/fp16-bf16.js';
import type { Storage } from '../storage/storage.js';
import { pickledItems } from './pickle.js';
import type { PickledTensor, StorageType } from './pickle-values.js';
import {
  badSource,
  type ColumnNames,
  checkLength,
  type LossRecord,
  lossesOf,
  MAX_RECORD_TOKENS,
  scaleOf,
} from './record.js';
import { isZip, locate, type ZipRecord, zipEntries } from './zip.js';

const CHUNK_BYTES = 1 << 20;
const BYTES: Readonly<Record<StorageType, number>> = { f16: 2, bf16: 2, f32: 4, f64: 8 };

/**
 * The records of a `.pt` file in order. Of one tensor with two dimensions each row is a record; of one with one, or of a list
 * of numbers, each number is a record's mean.
 * @throws TokensieveError (usage) `no-ids` unless the settings say that there are none; (input) `unsafe-pickle`, `bad-source`
 */
export async function* torchRecords(
  storage: Storage,
  path: string,
  settings: ColumnNames & { readonly unit: 'nats' | 'bits' },
): AsyncGenerator<LossRecord> {
  if (settings.ids !== 'absent') {
    throw usageError(
      'no-ids',
      `${path}: such files hold losses without token ids, so that nothing but lengths can be compared; say so with --ids absent, or write ids and losses to parquet`,
    );
  }
  const { size } = await storage.stat(path);
  if (!isZip(await storage.readRange(path, 0, Math.min(size, 4)))) {
    throw inputError(
      'bad-source',
      `${path}: not the zip archive that torch.save has written since 1.6; load it where you trust it and save it again`,
    );
  }
  const entries = await zipEntries(storage, path);
  const pickle = [...entries.values()].find(({ name }) => /^[^/]*\/?data\.pkl$/.test(name));
  if (pickle === undefined)
    throw badSource(path, 'no data.pkl in the archive; expected what torch.save writes');
  const root = pickle.name.slice(0, -'data.pkl'.length);
  await checkByteOrder(storage, path, entries.get(`${root}byteorder`));
  const scale = scaleOf({ values: settings.values ?? 'losses', unit: settings.unit });
  const archive: Archive = { storage, path, root, entries };
  const { start, end } = await locate(storage, path, pickle);
  let record = 0;
  for await (const item of pickledItems(chunks(storage, path, start, end), path, MAX_RECORD_TOKENS)) {
    const place = `${path}: item ${record++}`;
    if (typeof item === 'number') yield { place, ids: null, losses: item * scale };
    else if (item.kind === 'list') yield { place, ids: null, losses: lossesOf(item.values, place, scale) };
    else yield* tensorRecords(archive, item, place, scale);
  }
}

interface Archive {
  readonly storage: Storage;
  readonly path: string;
  readonly root: string;
  readonly entries: ReadonlyMap<string, ZipRecord>;
}

/** One record of a tensor in a list; of one that is alone, a record a row, or a mean an element. */
async function* tensorRecords(
  { storage, path, root, entries }: Archive,
  { key, type, offset, size, alone }: PickledTensor,
  place: string,
  scale: number,
): AsyncGenerator<LossRecord> {
  const entry = entries.get(`${root}data/${key}`);
  if (entry === undefined) throw badSource(place, `its numbers (data/${key}) are not in the archive`);
  const { start, end } = await locate(storage, path, entry);
  const width = BYTES[type];
  const elements = size.reduce((product, length) => product * length, 1);
  const first = start + offset * width;
  if (first + elements * width > end) throw badSource(place, 'it is larger than its numbers in the archive');
  const read = async (from: number, count: number): Promise<Float64Array> => {
    const at = first + from * width;
    return floats(new Uint8Array(await storage.readRange(path, at, at + count * width)), type);
  };
  const [rows = 1, columns = 1] = size;
  if (size.length > 2 || (size.length === 2 && alone !== true)) {
    throw badSource(
      place,
      `a tensor of ${size.length} dimensions; expected one a record, or two of one tensor`,
    );
  }
  if (alone === true && size.length === 2) {
    checkLength(columns, place);
    for (let row = 0; columns > 0 && row < rows; row++) {
      const losses = (await read(row * columns, columns)).map((value) => value * scale);
      yield { place: `${path}: row ${row}`, ids: null, losses };
    }
    return;
  }
  if (alone === true) {
    const step = CHUNK_BYTES / width;
    for (let from = 0; from < elements; from += step) {
      const values = await read(from, Math.min(step, elements - from));
      for (const [i, value] of values.entries()) {
        yield { place: `${path}: element ${from + i}`, ids: null, losses: value * scale };
      }
    }
    return;
  }
  checkLength(elements, place);
  const values = await read(0, elements);
  yield {
    place,
    ids: null,
    losses: size.length === 0 ? (values[0] ?? Number.NaN) * scale : values.map((value) => value * scale),
  };
}

function floats({ buffer, byteOffset, byteLength }: Uint8Array, type: StorageType): Float64Array {
  switch (type) {
    case 'f16':
      return Float64Array.from(fromHalf(new Uint16Array(buffer, byteOffset, byteLength / 2)));
    case 'bf16': {
      const values = new Float32Array(byteLength / 2);
      fromBfloat16(new Uint16Array(buffer, byteOffset, byteLength / 2), values);
      return Float64Array.from(values);
    }
    case 'f32':
      return Float64Array.from(new Float32Array(buffer, byteOffset, byteLength / 4));
    case 'f64':
      return new Float64Array(buffer, byteOffset, byteLength / 8);
  }
}

async function* chunks(
  storage: Storage,
  path: string,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += CHUNK_BYTES) {
    yield await storage.readRange(path, at, Math.min(end, at + CHUNK_BYTES));
  }
}

async function checkByteOrder(storage: Storage, path: string, record: ZipRecord | undefined): Promise<void> {
  if (record === undefined) return;
  const { start, end } = await locate(storage, path, record);
  const order = Buffer.from(await storage.readRange(path, start, Math.min(end, start + 16))).toString(
    'latin1',
  );
  if (order.trim() === 'little') return;
  throw badSource(path, `it is ${JSON.stringify(order.slice(0, 16))}-endian; expected little`);
}
