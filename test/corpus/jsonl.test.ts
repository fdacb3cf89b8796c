import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import xxhash from 'xxhash-wasm';
import { readShard } from '#tokensieve/corpus/read-shard.js';
import { decompressZstd } from '#tokensieve/corpus/zstd-stream.js';
import { memoryStorage } from './memory-storage.js';
import { brief, plan, readOptions, readParts, readRows, type Settings } from './read.js';

const lines = (count: number, from = 0): string =>
  Array.from(
    { length: count },
    (_, i) => `${JSON.stringify({ text: `Line ${from + i}: ${'λ '.repeat((i * 7) % 40)}`, n: from + i })}\n`,
  ).join('');

const jsonl = (content: string | Uint8Array, name = 'shard.jsonl') =>
  memoryStorage({ [name]: Buffer.from(content as string) });
const rowsOf = (content: string | Uint8Array, settings?: Settings, name = 'shard.jsonl') =>
  readRows(jsonl(content, name), name, settings);

/** The texts of fixtures/jsonl/make.py. */
function pageText(i: number): string {
  let state = BigInt(i + 1);
  const words = Array.from({ length: 60 }, () => {
    state = (state * 1103515245n + 12345n) % 2n ** 31n;
    return `w${((state >> 16n) & 1023n).toString(16)}`;
  });
  return `Page ${i}: ${words.join(' ')} ∑😀`;
}

describe('JSON lines', () => {
  it('gives documents by line number, with the columns kept as they are', async () => {
    const content = '{"text":"a","meta":{"x":[1]},"url":null}\n\n  \n{"text":"é","url":"u"}\r\n{"text":"c"}';
    expect(await rowsOf(content, { keep: ['url', 'meta', 'toString'] })).toEqual([
      {
        kind: 'document',
        row: 0,
        text: 'a',
        textBytes: 1,
        columns: { url: null, meta: { x: [1] }, toString: null },
      },
      {
        kind: 'document',
        row: 3,
        text: 'é',
        textBytes: 2,
        columns: { url: 'u', meta: null, toString: null },
      },
      {
        kind: 'document',
        row: 4,
        text: 'c',
        textBytes: 1,
        columns: { url: null, meta: null, toString: null },
      },
    ]);
  });

  it('quarantines each bad line alone, with its number and reason', async () => {
    const content = Buffer.concat([
      Buffer.from('\ufeff{"text":"a byte order mark before the first line"}\n'),
      Buffer.from(
        '{"text":"cut\n[1]\n"text"\nnull\n{"text":null}\n{}\n{"text":""}\n{"text":7}\n{"text":["a"]}\n',
      ),
      Buffer.from('{"text":"\\ud83d half"}\n{"text":"\\ud83d\\ude00 whole"}\n'),
      Buffer.from('{"text":"'),
      Buffer.of(0xc3, 0x28),
      Buffer.from('"}\n{"text":"123456789 "}\n{"text":"12345678901"}\n{"text":"last"}'),
    ]);
    const rows = await rowsOf(content, { maxTextBytes: 50 });
    expect(rows.map(brief)).toEqual([
      '0:a byte order mark before the first line',
      '1+1 bad-json',
      '2+1 bad-json',
      '3+1 bad-json',
      '4+1 bad-json',
      '5+1 null-text',
      '6+1 null-text',
      '7+1 empty-text',
      '8+1 not-a-string',
      '9+1 not-a-string',
      '10+1 not-unicode',
      '11:😀 whole',
      '12+1 not-unicode',
      '13:123456789 ',
      '14:12345678901',
      '15:last',
    ]);
    expect((await rowsOf('{"text":"12345678901"}', { maxTextBytes: 10 })).map(brief)).toEqual([
      '0+1 oversized-text',
    ]);
  });

  it('skips a line of any length without holding it', async () => {
    const pieces = 300;
    const size = pieces * 2 ** 20;
    const storage = {
      ...jsonl(''),
      stat: async () => ({ size: size + 1 + 14 }),
      // 300 MB without a newline, then a short line.
      readRange: async (_: string, start: number, end: number) => {
        const bytes = Buffer.alloc(end - start, 'x');
        if (end > size)
          Buffer.from('\n{"text":"ok"}\n').copy(bytes, Math.max(0, size - start), Math.max(0, start - size));
        return bytes;
      },
    };
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().arrayBuffers);
    }, 1);
    const rows = await readRows(storage, 'shard.jsonl', { maxTextBytes: 1000 });
    clearInterval(watch);
    expect(rows.map(brief)).toEqual(['0+1 oversized-text', '1:ok']);
    expect(peak).toBeLessThan(150 * 2 ** 20);
  });

  it('reads no row beyond the limit, and makes no part of those', async () => {
    const storage = jsonl(lines(100));
    const first = (await readRows(storage, 'shard.jsonl')).slice(0, 20);
    const settings = { partBytes: 500, limit: 20 };
    const parts = await readParts(storage, 'shard.jsonl', settings);
    expect([...parts.values()].flat()).toEqual(first);
    expect([...parts.values()].every((rows) => rows.length > 0)).toBe(true);
    const last = parts.size - 1;
    expect(last).toBeGreaterThan(0);
    // Also where the parts before are passed over, as on resume.
    expect(await readParts(storage, 'shard.jsonl', settings, (part) => part > last)).toEqual(new Map());
  });

  it('cuts parts when their text is full, the same whichever are wanted and however they are read', async () => {
    const settings = { partBytes: 500 };
    const storage = jsonl(`${lines(200)}nonsense\n${lines(50, 201)}`);
    const all = await readParts(storage, 'shard.jsonl', settings);
    expect([...all.keys()]).toEqual(Array.from({ length: all.size }, (_, i) => i));
    expect(all.size).toBeGreaterThan(10);
    expect([...all.values()].flat().map(({ row }) => row)).toEqual(Array.from({ length: 251 }, (_, i) => i));
    for (const rows of [...all.values()].slice(0, -1)) {
      const bytes = rows.map((row) => (row.kind === 'document' ? row.textBytes : 0));
      const total = bytes.reduce((sum, size) => sum + size, 0);
      expect(total).toBeGreaterThanOrEqual(500);
      expect(total - (bytes.at(-1) ?? 0)).toBeLessThan(500);
    }
    const some = await readParts(storage, 'shard.jsonl', settings, (part) => part % 3 === 1);
    expect([...some]).toEqual([...all].filter(([part]) => part % 3 === 1));
    // A reader that leaves a part after its first row gets the same next part.
    const firsts: number[] = [];
    for await (const { rows } of readShard(
      storage,
      await plan(storage, 'shard.jsonl', settings),
      readOptions(settings),
    )) {
      for await (const row of rows) {
        firsts.push(row.row);
        break;
      }
    }
    expect(firsts).toEqual([...all.values()].map(([first]) => first.row));
  });

  it('splits lines the same wherever the stream is cut', async () => {
    const { readLines } = await import('#tokensieve/corpus/lines.js');
    const collect = async (chunks: Uint8Array[]): Promise<string[]> => {
      const found: string[] = [];
      const source = (async function* () {
        yield* chunks;
      })();
      for await (const line of readLines(source, 8))
        found.push(
          line.kind === 'line' ? `${line.number}:${Buffer.from(line.bytes)}` : `${line.number}!${line.bytes}`,
        );
      return found;
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('a', 'bb', '\n', 'ccccc', '\r\n'), { maxLength: 30 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 5 })),
        async (parts, sizes) => {
          const content = Buffer.from(parts.join(''));
          const chunks: Uint8Array[] = [];
          for (let at = 0; at < content.length; ) {
            const size = sizes.next().value as number;
            chunks.push(content.subarray(at, at + size));
            at += size;
          }
          const expected = content
            .toString()
            .split('\n')
            .map((line, i) => (line.length > 8 ? `${i}!${line.length}` : `${i}:${line}`));
          if (content.length === 0 || content.at(-1) === 10) expected.pop();
          // Empty lines count, and are not given out.
          expect(await collect(chunks)).toEqual(expected.filter((line) => !line.endsWith(':')));
        },
      ),
    );
  });
});

describe('gzip', () => {
  it('reads concatenated members', async () => {
    const content = Buffer.concat([gzipSync(lines(100)), gzipSync(''), gzipSync(lines(100, 100))]);
    expect(await rowsOf(content, {}, 's.jsonl.gz')).toEqual(await rowsOf(lines(100) + lines(100, 100)));
  });

  it('keeps the rows before a cut, and says that the rest is missing', async () => {
    const whole = gzipSync(lines(5000));
    const expected = await rowsOf(lines(5000));
    for (const share of [0.999, 0.5, 0.1]) {
      const rows = await rowsOf(whole.subarray(0, Math.floor(whole.length * share)), {}, 's.jsonl.gz');
      const last = rows.at(-1);
      expect(last).toMatchObject({
        kind: 'quarantined',
        row: rows.length - 1,
        rows: null,
        reason: 'broken-shard',
      });
      expect(rows.slice(0, -1)).toEqual(expected.slice(0, rows.length - 1));
      expect(rows.length).toBeGreaterThan(5000 * share * 0.5);
    }
  });

  it('keeps the rows of the members before a corrupt one', async () => {
    const second = gzipSync(lines(100, 100));
    second[second.length - 6] ^= 1; // the checksum
    const rows = await rowsOf(Buffer.concat([gzipSync(lines(100)), second]), {}, 's.jsonl.gz');
    expect(rows.slice(0, 100)).toEqual(await rowsOf(lines(100)));
    expect(rows.at(-1)).toMatchObject({ reason: 'broken-shard', rows: null });
  });

  it('is no gzip at all', async () => {
    expect(await rowsOf('plain text\n', {}, 's.jsonl.gz')).toMatchObject([
      { row: 0, rows: null, reason: 'broken-shard' },
    ]);
  });

  it('streams a bomb: a line of 256 MB from 256 kB', async () => {
    const million = gzipSync(Buffer.alloc(2 ** 24, 'x'));
    const content = Buffer.concat([
      ...Array.from({ length: 16 }, () => million),
      gzipSync('\n{"text":"after"}\n'),
    ]);
    expect(content.length).toBeLessThan(2 ** 19);
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().arrayBuffers);
    }, 1);
    const rows = await rowsOf(content, { maxTextBytes: 2 ** 20 }, 's.jsonl.gz');
    clearInterval(watch);
    expect(rows.map(brief)).toEqual(['0+1 oversized-text', '1:after']);
    expect(peak).toBeLessThan(200 * 2 ** 20);
  });
});

describe('zstd', () => {
  const pages = readFileSync(new URL('../../fixtures/jsonl/pages.jsonl.zst', import.meta.url));
  const expected = Array.from({ length: 900 }, (_, i) => `${i}:${pageText(i)}`);

  it('reads several frames, skippable ones between them, as the reference program wrote them', async () => {
    expect((await rowsOf(pages, {}, 's.jsonl.zst')).map(brief)).toEqual(expected);
  });

  it('reads them the same through the portable decoder, in chunks of any size', async () => {
    for (const size of [1, 7, 1000, pages.length]) {
      const source = (async function* () {
        for (let at = 0; at < pages.length; at += size) yield pages.subarray(at, at + size);
      })();
      const out: Uint8Array[] = [];
      for await (const bytes of decompressZstd(source)) out.push(bytes);
      expect((await rowsOf(Buffer.concat(out))).map(brief)).toEqual(expected);
    }
  });

  it('keeps the rows before a cut', async () => {
    for (const share of [0.99, 0.6, 0.3]) {
      const rows = (await rowsOf(pages.subarray(0, Math.floor(pages.length * share)), {}, 's.jsonl.zst')).map(
        brief,
      );
      expect(rows.at(-1)).toBe(`${rows.length - 1}+null broken-shard`);
      expect(rows.slice(0, -1)).toEqual(expected.slice(0, rows.length - 1));
    }
  });

  it('notices a flipped bit by the checksum of its frame', async () => {
    const content = Buffer.from(lines(10));
    const block = (content.length << 3) | 1;
    const checksum = Buffer.alloc(4);
    checksum.writeUInt32LE(Number((await xxhash()).h64Raw(content) & 0xffffffffn));
    const header = Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 4, 0x50, block & 255, (block >> 8) & 255, block >> 16);
    const whole = Buffer.concat([header, content, checksum]);
    expect(await rowsOf(whole, {}, 's.jsonl.zst')).toEqual(await rowsOf(content));
    whole[whole.indexOf('Line 3') + 5] ^= 1;
    expect((await rowsOf(whole, {}, 's.jsonl.zst')).at(-1)).toMatchObject({
      row: 10,
      reason: 'broken-shard',
      detail: expect.stringContaining('checksum'),
    });
  });

  /** A frame of one RLE block. */
  const frame = (windowDescriptor: number, blockSize: number): Buffer => {
    const block = (blockSize << 3) | (1 << 1) | 1;
    return Buffer.of(
      0x28,
      0xb5,
      0x2f,
      0xfd,
      0,
      windowDescriptor,
      block & 255,
      (block >> 8) & 255,
      block >> 16,
      0x0a,
    );
  };

  it.each([
    ['a window of 3.75 TB', frame(0xff, 10)],
    ['a window of 256 MB', frame(18 << 3, 10)],
    ['a block of 2 MB', frame(10 << 3, 2 ** 21 - 1)],
    ['a dictionary', Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 1, 0x50, 7, 1, 0, 0)],
    ['another format', Buffer.from('PK\x03\x04 and more')],
    ['three bytes', Buffer.of(0x28, 0xb5, 0x2f)],
  ])('refuses %s', async (_, content) => {
    const before = process.memoryUsage().arrayBuffers;
    expect(await rowsOf(content, {}, 's.jsonl.zst')).toMatchObject([
      { row: 0, rows: null, reason: 'broken-shard' },
    ]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(30e6);
  });

  it('takes the frames that differ from these in size alone', async () => {
    expect(await rowsOf(Buffer.concat([frame(10 << 3, 1000), frame(0, 5)]), {}, 's.jsonl.zst')).toEqual([]);
  });
});
