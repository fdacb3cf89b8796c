/** Ids and losses from an Arrow file or stream: two columns of lists, one record batch's buffers at a time. */
import { Readable } from 'node:stream';
import { CompressionType } from 'apache-arrow';
import { decompressZstd } from '../corpus/zstd-stream.js';
import { type BodyCodec, codecFor, compressionOf, zstdContentSize } from '../dataset/codecs.js';
import { firstLine, inputError, type TokensieveError } from '../errors.js';
import { fromHalf } from '../numbers/fp16-bf16.js';
import type { Storage } from '../storage/storage.js';
import { type BatchAt, openArrowMessages } from './arrow-messages.js';
import type { ArrowColumn, NumberType } from './arrow-schema.js';
import {
  badSource,
  type ColumnNames,
  checkLength,
  chooseColumns,
  idsOf,
  type LossRecord,
  scaleOf,
} from './record.js';

/** Most bytes of one buffer of a record batch, decompressed. */
const MAX_BUFFER_BYTES = 1 << 29;

/**
 * The records of an Arrow file or stream in order. Only the two columns' buffers are read.
 * @throws TokensieveError (input) `arrow-corrupt`, `arrow-type`, `no-such-column`, `bad-source`
 */
export async function* arrowRecords(
  storage: Storage,
  path: string,
  settings: ColumnNames & { readonly unit: 'nats' | 'bits' },
): AsyncGenerator<LossRecord> {
  const messages = await openArrowMessages(storage, path);
  const { columns } = messages.layout;
  const chosen = chooseColumns(
    columns.map(({ name }) => name),
    settings,
    path,
  );
  const scale = scaleOf({ values: chosen.values, unit: settings.unit });
  const columnOf = (name: string): ArrowColumn => {
    const column = columns.find((candidate) => candidate.name === name);
    if (column === undefined) throw badSource(path, `no column ${JSON.stringify(name)}`);
    if (column.layout !== null) return column;
    throw inputError(
      'arrow-type',
      `${path}: column ${JSON.stringify(name)} is a ${column.type}; expected lists of numbers`,
    );
  };
  const losses = columnOf(chosen.losses);
  const ids = chosen.ids === null ? null : columnOf(chosen.ids);
  let row = 0;
  for await (const batch of messages.batches()) {
    const open = { storage, path, batch, version: messages.version };
    const lossColumn = await readColumn(open, losses);
    const idColumn = ids === null ? null : await readColumn(open, ids);
    for (let i = 0; i < batch.header.rows; i++, row++) {
      const place = `${path}: row ${row}`;
      const values = lossColumn.item(i, place);
      const tokens = idColumn?.item(i, place);
      if (typeof tokens === 'number') throw badSource(place, 'the token ids are one number; expected a list');
      yield {
        place,
        ids: tokens === undefined ? null : idsOf(tokens, place),
        losses: typeof values === 'number' ? values * scale : values.map((value) => value * scale),
      };
    }
  }
}

interface OpenBatch {
  readonly storage: Storage;
  readonly path: string;
  readonly batch: BatchAt;
  readonly version: { readonly size: number };
}

interface ReadColumn {
  /** The row's values, NaN where one is null; a number where the column is no list. */
  item(row: number, place: string): Float64Array | number;
}

async function readColumn(open: OpenBatch, column: ArrowColumn): Promise<ReadColumn> {
  const { header } = open.batch;
  const { layout, name } = column;
  const corrupt = (what: string): TokensieveError =>
    inputError('arrow-corrupt', `${open.path}: column ${name}: ${what}; write it again`);
  if (layout === null) throw corrupt('not numbers');
  const compression = await codecFor(compressionOf(header.compression));
  const take = async (index: number, bytes: number): Promise<Uint8Array> => {
    const region = header.regions[index];
    if (region === undefined) throw corrupt(`there is no buffer ${index}`);
    if (bytes === 0) return new Uint8Array(0);
    if (bytes > MAX_BUFFER_BYTES || region.length > MAX_BUFFER_BYTES) {
      throw corrupt(
        `a buffer of ${Math.max(bytes, region.length)} bytes; at most ${MAX_BUFFER_BYTES} are read: write smaller record batches`,
      );
    }
    const start = open.batch.bodyStart + region.offset;
    const stored = await open.storage.readRange(open.path, start, start + region.length, open.version);
    try {
      // A copy of its own, so that it is aligned.
      return new Uint8Array(await plain(stored, bytes, compression));
    } catch (error) {
      throw corrupt(firstLine(error));
    }
  };
  const nodeOf = (index: number, length: number | null) => {
    const node = header.nodes[index];
    if (node === undefined || (length !== null && node.length !== length) || node.nulls > node.length) {
      throw corrupt(`an array of ${node?.length} items; expected ${length}`);
    }
    return node;
  };
  const validityOf = async (
    buffer: number,
    length: number,
    nulls: number,
  ): Promise<(i: number) => boolean> => {
    if (nulls === 0) return () => true;
    const bits = await take(buffer, Math.ceil(length / 8));
    return (i) => ((bits[i >> 3] ?? 0) & (1 << (i & 7))) !== 0;
  };
  const rows = header.rows;
  const own = nodeOf(column.node, rows);
  const present = await validityOf(column.buffer, rows, own.nulls);
  if (layout.list === 'none') {
    const values = numbers(await take(column.buffer + 1, (rows * layout.item.bits) / 8), layout.item);
    return { item: (row) => (present(row) ? (values[row] ?? Number.NaN) : Number.NaN) };
  }
  let bounds: (row: number) => number;
  if (layout.list === 'fixed') {
    const { size } = layout;
    bounds = (row) => row * size;
  } else {
    const width = layout.list === 'offsets64' ? 8 : 4;
    const bytes = await take(column.buffer + 1, rows === 0 ? 0 : (rows + 1) * width);
    const offsets = numbers(bytes, { kind: 'int', bits: width * 8, signed: true });
    for (let i = 0; i < offsets.length; i++) {
      if ((offsets[i] ?? -1) < (i === 0 ? 0 : (offsets[i - 1] ?? 0))) throw corrupt('its offsets fall');
    }
    bounds = (row) => offsets[row] ?? 0;
  }
  const child = nodeOf(column.node + 1, null);
  if (rows > 0 && bounds(rows) > child.length)
    throw corrupt(`its lists need ${bounds(rows)} items, ${child.length} are there`);
  const childBuffer = column.buffer + (layout.list === 'fixed' ? 1 : 2);
  const isThere = await validityOf(childBuffer, child.length, child.nulls);
  const values = numbers(await take(childBuffer + 1, (child.length * layout.item.bits) / 8), layout.item);
  return {
    item(row, place) {
      if (!present(row)) throw badSource(place, `column ${name} is null; expected a list`);
      const [start, end] = [bounds(row), bounds(row + 1)];
      checkLength(end - start, place);
      const list = values.slice(start, end);
      if (child.nulls > 0) for (let i = start; i < end; i++) if (!isThere(i)) list[i - start] = Number.NaN;
      return list;
    },
  };
}

/** The first `bytes` of a stored buffer; writers may pad what they store, compressed or not, to 64 bytes. */
async function plain(stored: Uint8Array, bytes: number, codec: BodyCodec | undefined): Promise<Uint8Array> {
  const enough = (found: number): void => {
    if (found < bytes || found > bytes + 128)
      throw new Error(`a buffer of ${found} bytes; expected ${bytes}`);
  };
  if (codec === undefined) {
    enough(stored.length);
    return stored.subarray(0, bytes);
  }
  if (stored.length < 8) throw new Error(`a compressed buffer of ${stored.length} bytes`);
  const claimed = Number(new DataView(stored.buffer, stored.byteOffset).getBigInt64(0, true));
  const body = stored.subarray(8);
  enough(claimed === -1 ? body.length : claimed);
  if (claimed === -1) return body.subarray(0, bytes);
  const isUnsaid = codec.type === CompressionType.ZSTD && zstdContentSize(body) === -1;
  const decoded = isUnsaid ? await decodeUnsaid(body, claimed) : codec.decode(body, claimed);
  return decoded.subarray(0, bytes);
}

/** A zstd frame that does not say how much it holds, as streaming writers make them: no more than `length` bytes are taken of it. */
async function decodeUnsaid(frame: Uint8Array, length: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let found = 0;
  for await (const piece of decompressZstd(Readable.from([frame]))) {
    found += piece.length;
    if (found > length) break;
    pieces.push(piece);
  }
  if (found === length) return Buffer.concat(pieces, length);
  throw new Error(
    found > length
      ? `a zstd frame holds more than ${length} bytes`
      : `a zstd frame holds ${found} bytes; expected ${length}`,
  );
}

/** Any type of number as float64: ids are below 2^31, and wider ones that are not exact are refused as ids. */
function numbers(bytes: Uint8Array, type: NumberType): Float64Array {
  const { buffer, byteOffset, byteLength } = bytes;
  const length = (byteLength * 8) / type.bits;
  if (type.kind === 'float') {
    if (type.bits === 16) return Float64Array.from(fromHalf(new Uint16Array(buffer, byteOffset, length)));
    if (type.bits === 32) return Float64Array.from(new Float32Array(buffer, byteOffset, length));
    return new Float64Array(buffer, byteOffset, length);
  }
  switch (type.bits) {
    case 8:
      return Float64Array.from(
        type.signed ? new Int8Array(buffer, byteOffset, length) : new Uint8Array(buffer, byteOffset, length),
      );
    case 16:
      return Float64Array.from(
        type.signed
          ? new Int16Array(buffer, byteOffset, length)
          : new Uint16Array(buffer, byteOffset, length),
      );
    case 32:
      return Float64Array.from(
        type.signed
          ? new Int32Array(buffer, byteOffset, length)
          : new Uint32Array(buffer, byteOffset, length),
      );
    default: {
      const wide = type.signed
        ? new BigInt64Array(buffer, byteOffset, length)
        : new BigUint64Array(buffer, byteOffset, length);
      const values = new Float64Array(length);
      for (let i = 0; i < length; i++) values[i] = Number(wide[i]);
      return values;
    }
  }
}
