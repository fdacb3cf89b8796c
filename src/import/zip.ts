/** Entries of a zip archive that are stored as they are, which is how torch.save writes them. */
import { inputError, type TokensieveError } from '../errors.js';
import type { Storage } from '../storage/storage.js';

export interface ZipEntry {
  readonly name: string;
  /** Bytes [start, end) of the archive. */
  readonly start: number;
  readonly end: number;
}

const MAX_DIRECTORY_BYTES = 1 << 26;
const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const MAX_32 = 0xffffffff;

const refuse = (path: string, what: string): TokensieveError =>
  inputError('bad-source', `${path}: ${what}; it is no archive that torch.save wrote, or was cut off`);

/** Whether a file begins as a zip archive does. */
export const isZip = (head: Uint8Array): boolean =>
  head.length >= 4 && new DataView(head.buffer, head.byteOffset).getUint32(0, true) === LOCAL;

/**
 * The archive's entries by name, from its central directory.
 * @throws TokensieveError (input) `bad-source`
 */
export async function zipEntries(storage: Storage, path: string): Promise<ReadonlyMap<string, ZipRecord>> {
  const { size } = await storage.stat(path);
  const tailStart = Math.max(0, size - 65_557);
  const tail = await storage.readRange(path, tailStart, size);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length);
  let end = tail.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) throw refuse(path, 'no end of a central directory');
  let bytes = view.getUint32(end + 12, true);
  let start = view.getUint32(end + 16, true);
  if (end >= 20 && view.getUint32(end - 20, true) === END64_LOCATOR) {
    const at = Number(view.getBigUint64(end - 12, true));
    if (at + 56 > size) throw refuse(path, 'a directory beyond its end');
    const wide = new DataView(new Uint8Array(await storage.readRange(path, at, at + 56)).buffer);
    if (wide.getUint32(0, true) !== END64) throw refuse(path, 'no zip64 directory where one was told');
    bytes = Number(wide.getBigUint64(40, true));
    start = Number(wide.getBigUint64(48, true));
  }
  if (bytes > MAX_DIRECTORY_BYTES || start + bytes > size)
    throw refuse(path, `a directory of ${bytes} bytes`);
  return directory(new Uint8Array(await storage.readRange(path, start, start + bytes)), path, size);
}

/** What the directory says of an entry; where its bytes begin stands in the entry itself. */
export interface ZipRecord {
  readonly name: string;
  readonly header: number;
  readonly bytes: number;
  readonly stored: boolean;
}

function directory(bytes: Uint8Array, path: string, size: number): Map<string, ZipRecord> {
  const entries = new Map<string, ZipRecord>();
  const view = new DataView(bytes.buffer);
  for (let at = 0; at + 46 <= bytes.length; ) {
    if (view.getUint32(at, true) !== CENTRAL) throw refuse(path, 'a directory with something else in it');
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((o) => view.getUint16(at + o, true)) as [
      number,
      number,
      number,
    ];
    const nameEnd = at + 46 + nameBytes;
    const extraEnd = nameEnd + extraBytes;
    if (extraEnd > bytes.length) throw refuse(path, 'a directory that ends early');
    const name = Buffer.from(bytes.subarray(at + 46, nameEnd)).toString('utf8');
    let compressed = view.getUint32(at + 20, true);
    const plain = view.getUint32(at + 24, true);
    let header = view.getUint32(at + 42, true);
    for (let extra = nameEnd; extra + 4 <= extraEnd; ) {
      const length = view.getUint16(extra + 2, true);
      if (view.getUint16(extra, true) === 1) {
        let wide = extra + 4;
        const take = (): number => {
          if (wide + 8 > extraEnd) throw refuse(path, 'a directory that ends early');
          wide += 8;
          return Number(view.getBigUint64(wide - 8, true));
        };
        if (plain === MAX_32) take();
        if (compressed === MAX_32) compressed = take();
        if (header === MAX_32) header = take();
      }
      extra += 4 + length;
    }
    if (header + compressed > size) throw refuse(path, `entry ${name} lies beyond its end`);
    entries.set(name, { name, header, bytes: compressed, stored: view.getUint16(at + 10, true) === 0 });
    at = extraEnd + commentBytes;
  }
  return entries;
}

/** Where an entry's bytes lie. @throws TokensieveError (input) `bad-source` for one that is compressed */
export async function locate(storage: Storage, path: string, record: ZipRecord): Promise<ZipEntry> {
  const { name, header, bytes, stored } = record;
  if (!stored) throw refuse(path, `entry ${name} is compressed`);
  const head = new DataView(new Uint8Array(await storage.readRange(path, header, header + 30)).buffer);
  if (head.getUint32(0, true) !== LOCAL) throw refuse(path, `entry ${name} is not where the directory says`);
  const start = header + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const { size } = await storage.stat(path);
  if (start + bytes > size) throw refuse(path, `entry ${name} lies beyond its end`);
  return { name, start, end: start + bytes };
}
