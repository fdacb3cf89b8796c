/** What fuzzing found in shards and patterns, each by its smallest input. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expandShards } from '#tokensieve/corpus/expand.js';
import { decompressZstd } from '#tokensieve/corpus/zstd-stream.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { memoryStorage } from './memory-storage.js';
import { readRows } from './read.js';

const rowsOf = (content: string | Buffer, name = 'a.jsonl', keep: readonly string[] = []) =>
  readRows(memoryStorage({ [name]: Buffer.from(content) }), name, { text: 'text', keep });

describe('patterns that backtrack', () => {
  let root: string;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'tokensieve-hostile-'));
    mkdirSync(join(root, 'in'));
    writeFileSync(join(root, 'in', `${'a'.repeat(100)}.jsonl`), '');
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it.each([
    `${'*a'.repeat(11)}b`,
    `${'*?'.repeat(13)}x`,
    '+(a*|b)+(c*)d',
    `${'[a]+'.repeat(12)}b`,
    `${'{a,aa}'.repeat(30)}b`,
    `${'**/'.repeat(20)}x`,
    '(a+)+b',
  ])('%s is refused, and not tried', async (pattern) => {
    await expect(expandShards(localStorage(), [`${root}/in/${pattern}`])).rejects.toMatchObject({
      reach: 'usage',
      code: 'glob-too-wild',
    });
  });

  it('patterns as people write them are taken', async () => {
    for (const pattern of ['in/*.jsonl', '**/*a*', 'in/{a,b}*.jsonl', 'in/[a-z]*a.jsonl']) {
      expect(await expandShards(localStorage(), [`${root}/${pattern}`])).toHaveLength(1);
    }
  });
});

describe('JSON lines', () => {
  it('a kept value nested twenty thousand deep is lost, and said to be; its row is not', async () => {
    const deep = `{"text":"a","url":"u","tags":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
    expect(await rowsOf(deep, 'a.jsonl', ['url', 'tags'])).toMatchObject([
      { kind: 'document', text: 'a', columns: { url: 'u', tags: null }, lost: ['tags'] },
    ]);
  });

  it('a line that would become ten million objects is set aside unparsed', async () => {
    const bomb = gzipSync(`{"text":"a","x":[${'{},'.repeat(10_000_000)}1]}\n{"text":"after"}`, { level: 1 });
    const before = process.memoryUsage().heapUsed;
    const rows = await rowsOf(bomb, 'a.jsonl.gz');
    expect(rows).toMatchObject(
      [{ reason: 'bad-json', detail: /more than 4194304 values/ }, { text: 'after' }].map((row) =>
        expect.objectContaining(
          typeof row.detail === 'object' ? { ...row, detail: expect.stringMatching(row.detail) } : row,
        ),
      ),
    );
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(300e6);
  });

  it('blank lines count and cost nothing else', async () => {
    const rows = await rowsOf(`${'\n'.repeat(1_000_000)}{"text":"a"}`);
    expect(rows).toMatchObject([{ row: 1_000_000, text: 'a' }]);
  });

  it('what is printed of a row holds no control character', async () => {
    const [row] = await rowsOf('\u001b[2J\u202ex');
    expect(row).toMatchObject({ kind: 'quarantined', reason: 'bad-json' });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    expect(row?.kind === 'quarantined' && row.detail).not.toMatch(/[\u0000-\u001f\u202e]/);
  });
});

/** A frame of blocks [type, size, bytes] behind a window descriptor. */
function frame(window: number, blocks: readonly (readonly [number, number, Uint8Array])[]): Buffer {
  const out: Uint8Array[] = [Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, window)];
  for (const [i, [type, size, bytes]] of blocks.entries()) {
    const header = Buffer.alloc(3);
    header.writeUIntLE((size << 3) | (type << 1) | (i === blocks.length - 1 ? 1 : 0), 0, 3);
    out.push(header, bytes);
  }
  return Buffer.concat(out);
}

async function unpacked(bytes: Uint8Array): Promise<{ bytes: number; chunks: number; error: string | null }> {
  let length = 0;
  let chunks = 0;
  const source = (async function* () {
    yield bytes;
  })();
  try {
    for await (const chunk of decompressZstd(source)) {
      length += chunk.length;
      chunks++;
    }
  } catch (error) {
    return { bytes: length, chunks, error: String(error) };
  }
  return { bytes: length, chunks, error: null };
}

const MIB_128 = 17 << 3;
const RAW = 0;
const RLE = 1;

describe('zstd', () => {
  it('small frames that ask for a window of 128 MiB each get one that fits them', async () => {
    const small = frame(MIB_128, [[RAW, 2, Buffer.from('a\n')]]);
    const found = await unpacked(Buffer.concat(Array.from({ length: 20_000 }, () => small)));
    expect(found).toMatchObject({ bytes: 40_000, error: null });
  });

  it('blocks of a byte under such a window end the stream, with what came before', async () => {
    const large = Array.from({ length: 9 }, () => [RLE, 2 ** 17, Buffer.from('x')] as const);
    const tiny = Array.from({ length: 20_000 }, () => [RAW, 1, Buffer.from('x')] as const);
    const found = await unpacked(frame(MIB_128, [...large, ...tiny]));
    expect(found.error).toMatch(/blocks so small/);
    expect(found.bytes).toBeGreaterThan(9 * 2 ** 17);
  });

  it('output of small blocks is given out in large pieces', async () => {
    const tiny = Array.from({ length: 4000 }, () => [RAW, 1, Buffer.from('x')] as const);
    const found = await unpacked(Buffer.concat(Array.from({ length: 50 }, () => frame(0, tiny))));
    expect(found).toMatchObject({ bytes: 200_000, error: null });
    expect(found.chunks).toBeLessThan(100);
  });

  it('a stream that grows more than any text does ends after half a gigabyte', async () => {
    const blocks = Array.from({ length: 8192 }, () => [RLE, 2 ** 17, Buffer.from('x')] as const);
    const rows = await rowsOf(frame(7 << 3, blocks), 'a.jsonl.zst');
    expect(rows).toMatchObject([{ reason: 'broken-shard', rows: null }]);
    expect(JSON.stringify(rows)).toMatch(/which no text does/);
  });
});
