/** What a shared library of Linux says of itself: which libraries it needs, where it looks, and text within it. */
import { type FileHandle, open } from 'node:fs/promises';

export interface SharedLibrary {
  /** DT_NEEDED: file names of the libraries that must be found for this one to load, in order. */
  readonly needed: readonly string[];
  /** DT_RUNPATH, or DT_RPATH: folders to look in first, `$ORIGIN` being the library's own. */
  readonly runPath: readonly string[];
}

interface Section {
  readonly name: number;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

const TYPE_DYNAMIC = 6;
const [TAG_NEEDED, TAG_RPATH, TAG_RUNPATH] = [1, 15, 29];
/** Larger tables than any library has: such a file is damaged. */
const MAX_TABLE = 1 << 24;

/** Whether the file begins as an ELF file does; false too where there is none. */
export async function isElf(path: string): Promise<boolean> {
  try {
    return await withFile(path, async (file) => (await bytesAt(file, 0, 4)).equals(MAGIC));
  } catch {
    return false;
  }
}

/**
 * Reads the dynamic section of a 64-bit little-endian ELF file (System V ABI, chapters 4 and 5).
 * @throws Error where the file is not one, or is damaged
 */
export function readSharedLibrary(path: string): Promise<SharedLibrary> {
  return withFile(path, async (file) => {
    const sections = await sectionsOf(file);
    const dynamic = sections.find(({ type }) => type === TYPE_DYNAMIC);
    if (dynamic === undefined) throw new Error('it has no dynamic section');
    const entries = await tableAt(file, dynamic);
    const strings = await tableAt(file, sections[dynamic.link]);
    const needed: string[] = [];
    const runPath: string[] = [];
    for (let at = 0; at + 16 <= entries.length; at += 16) {
      const tag = Number(entries.readBigUInt64LE(at));
      if (tag === 0) break;
      const text = (): string => textAt(strings, Number(entries.readBigUInt64LE(at + 8)));
      if (tag === TAG_NEEDED) needed.push(text());
      else if (tag === TAG_RUNPATH || tag === TAG_RPATH) runPath.push(...text().split(':'));
    }
    return { needed, runPath: runPath.filter((folder) => folder !== '') };
  });
}

/**
 * The first text of the file's read-only data that matches as a whole, between two zero bytes.
 * @param pattern without anchors and groups that capture
 */
export function findConstant(path: string, pattern: RegExp): Promise<string | null> {
  return withFile(path, async (file) => {
    const sections = await sectionsOf(file);
    const names = sections[await nameTableOf(file)];
    const texts = await tableAt(file, names);
    const whole = new RegExp(`\\0(${pattern.source})(?=\\0)`);
    const overlap = 256;
    for (const { offset, size } of sections.filter(({ name }) => textAt(texts, name) === '.rodata')) {
      for (let at = 0; at < size; at += MAX_TABLE - overlap) {
        const piece = await bytesAt(file, offset + at, Math.min(MAX_TABLE, size - at));
        const found = whole.exec(piece.toString('latin1'))?.[1];
        if (found !== undefined) return found;
      }
    }
    return null;
  });
}

const MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);

async function headerOf(file: FileHandle): Promise<Buffer> {
  const header = await bytesAt(file, 0, 64);
  if (!header.subarray(0, 4).equals(MAGIC)) throw new Error('it is no ELF file');
  if (header[4] !== 2 || header[5] !== 1) throw new Error('it is no 64-bit little-endian ELF file');
  return header;
}

const nameTableOf = async (file: FileHandle): Promise<number> => (await headerOf(file)).readUInt16LE(62);

async function sectionsOf(file: FileHandle): Promise<Section[]> {
  const header = await headerOf(file);
  const [start, entry, count] = [
    Number(header.readBigUInt64LE(40)),
    header.readUInt16LE(58),
    header.readUInt16LE(60),
  ];
  if (entry !== 64) throw new Error('its section headers are damaged');
  const table = await bytesAt(file, start, entry * count);
  return Array.from({ length: count }, (_, index): Section => {
    const at = index * entry;
    return {
      name: table.readUInt32LE(at),
      type: table.readUInt32LE(at + 4),
      offset: Number(table.readBigUInt64LE(at + 24)),
      size: Number(table.readBigUInt64LE(at + 32)),
      link: table.readUInt32LE(at + 40),
    };
  });
}

async function tableAt(file: FileHandle, section: Section | undefined): Promise<Buffer> {
  if (section === undefined || section.size > MAX_TABLE) throw new Error('its section headers are damaged');
  return bytesAt(file, section.offset, section.size);
}

function textAt(strings: Buffer, at: number): string {
  const end = strings.indexOf(0, at);
  if (at >= strings.length || end === -1) throw new Error('its string table is damaged');
  return strings.toString('latin1', at, end);
}

async function bytesAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { size } = await file.stat();
  if (!(offset >= 0 && offset + length <= size))
    throw new Error(`it ends at byte ${size}; ${offset + length} were to be read`);
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw new Error('it ended while it was read');
    done += bytesRead;
  }
  return bytes;
}

async function withFile<T>(path: string, read: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, 'r');
  try {
    return await read(file);
  } finally {
    await file.close();
  }
}
