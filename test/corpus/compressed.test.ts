import { crc32, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { memoryStorage } from './memory-storage.js';
import { brief, readRows } from './read.js';

const lines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => `${JSON.stringify({ text: `line ${from + i}` })}\n`).join('');
const expected = (to: number): string[] => Array.from({ length: to }, (_, i) => `${i}:line ${i}`);

async function read(
  content: Uint8Array,
  path = 's.jsonl.gz',
): Promise<{ rows: string[]; told: string | null }> {
  const rows = await readRows(memoryStorage({ [path]: content }), path);
  const last = rows.at(-1);
  const told = last?.kind === 'quarantined' ? `${last.reason}: ${last.detail}` : null;
  return { rows: (told === null ? rows : rows.slice(0, -1)).map(brief), told };
}

/** A gzip member with every optional field of its header (RFC 1952); its header's checksum is wrong, which readers pass over. */
function adorned(text: string): Buffer {
  const head = Buffer.of(0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 0, 0, 0, 0, 0, 255);
  const fields = Buffer.concat([Buffer.of(3, 0, 1, 2, 3), Buffer.from('name\0a comment\0'), Buffer.of(9, 9)]);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(text), 0);
  trailer.writeUInt32LE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, fields, deflateRawSync(text), trailer]);
}

describe('gzip, as Python reads it', () => {
  const two = [gzipSync(lines(0, 3)), gzipSync(lines(3, 6))] as const;

  it.each([
    ['members one after another', Buffer.concat(two)],
    [
      'zeros between members and behind the last',
      Buffer.concat([two[0], Buffer.alloc(700), two[1], Buffer.alloc(5)]),
    ],
    ['an empty member', Buffer.concat([two[0], gzipSync(''), two[1]])],
    ['optional header fields', Buffer.concat([adorned(lines(0, 3)), adorned(lines(3, 6))])],
    [
      'a line that goes over from one member into the next',
      Buffer.concat([gzipSync(lines(0, 6).slice(0, 50)), gzipSync(lines(0, 6).slice(50))]),
    ],
  ])('%s: all rows', async (_, content) => {
    expect(await read(content)).toEqual({ rows: expected(6), told: null });
  });

  it('bytes that are no member: every line before them, the last without its newline too, and where they begin', async () => {
    for (const text of [lines(0, 500), lines(0, 500).trimEnd()]) {
      const member = gzipSync(text);
      const { rows, told } = await read(Buffer.concat([member, Buffer.from('<html>')]));
      expect(rows).toEqual(expected(500));
      expect(told).toContain(`from byte ${member.length} on (3c68746d6c3e)`);
    }
  });

  it('a large member cut anywhere keeps the same lines each time, and says where', async () => {
    const whole = gzipSync(
      Array.from(
        { length: 4000 },
        (_, i) => `{"text":"line ${i}","x":"${(i * 7919 ** 3).toString(36)}"}\n`,
      ).join(''),
    );
    for (const length of [whole.length - 1, whole.length - 4000, 30_000]) {
      const [first, again] = [await read(whole.subarray(0, length)), await read(whole.subarray(0, length))];
      expect(first.told).toContain(`it is cut off at byte ${length}`);
      expect(first.rows).toEqual(expected(first.rows.length));
      expect(first.rows.length).toBeGreaterThan(length > 40_000 ? 2000 : 500);
      expect(again).toEqual(first);
    }
  });

  it('a checksum and a length that do not match are told, with the member', async () => {
    for (const [back, words] of [
      [8, 'checksum'],
      [1, 'another length'],
    ] as const) {
      const content = Buffer.concat(two);
      content[content.length - back] = (content[content.length - back] ?? 0) ^ 1;
      const { rows, told } = await read(content);
      expect(rows).toEqual(expected(6));
      expect(told).toContain(words);
      expect(told).toContain(`byte ${two[0].length}`);
    }
  });
});

describe('a file is what its first bytes say', () => {
  it.each(['s.jsonl', 's.jsonl.gz', 's.jsonl.zst'])('lines and gzip called %s are read', async (path) => {
    expect(await read(Buffer.from(lines(0, 4)), path)).toEqual({ rows: expected(4), told: null });
    expect(await read(gzipSync(lines(0, 4)), path)).toEqual({ rows: expected(4), told: null });
  });

  it.each([
    ['UTF-16', Buffer.from(`\ufeff${lines(0, 2)}`, 'utf16le')],
    ['UTF-16', Buffer.from(lines(0, 2), 'utf16le')],
    ['bzip2', Buffer.from('BZh91AY&SY')],
    ['xz', Buffer.from('\xfd7zXZ\0', 'latin1')],
    ['lz4', Buffer.of(4, 0x22, 0x4d, 0x18, 0)],
    ['a zip archive', Buffer.from('PK\x03\x04')],
    ['Git LFS', Buffer.from('version https://git-lfs.github.com/spec/v1\n')],
    ['a page of markup', Buffer.from('<!DOCTYPE html>')],
    ['a zlib stream', deflateSync(lines(0, 3))],
    ['the file is empty', Buffer.alloc(0)],
  ])('%s is told by name, once', async (words, content) => {
    const { rows, told } = await read(content);
    expect(rows).toEqual([]);
    expect(told).toContain(words);
  });

  it('zstd with bytes behind its last frame', async () => {
    const text = Buffer.from(lines(0, 5));
    const block = (text.length << 3) | 1;
    const frame = Buffer.concat([
      Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0x50, block & 255, block >> 8, 0),
      text,
    ]);
    const { rows, told } = await read(Buffer.concat([frame, Buffer.from('\nx')]), 's.jsonl.zst');
    expect(rows).toEqual(expected(5));
    expect(told).toContain(`from byte ${frame.length} on`);
  });
});
