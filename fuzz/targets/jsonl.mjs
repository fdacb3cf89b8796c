/** JSON-lines shards, plain, gzip and zstd: lines changed by their structure, streams by their blocks and bytes. */
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { planShard, readShard } from '#tokensieve/corpus/read-shard.js';
import { createDocumentWriter, textDigest } from '#tokensieve/dataset/documents.js';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { change, number } from '../bytes.mjs';
import { changeJson } from '../json.mjs';
import { resultOf } from '../support.mjs';

export const name = 'jsonl';
const storage = localStorage();

const row = (n) => ({
  url: `https://example.org/${n}`,
  text: `Let $x_${n}$ be "real".\n∑ ${'x '.repeat(n)}`,
  date: '2023-01-01',
  metadata: n % 2 ? JSON.stringify({ a: n, b: [1, 2] }) : `{'a': ${n}, 'b': (1, None), 'c': b'\\x00'}`,
  nested: { a: [{ b: n }] },
});

let zstd;
async function compressZstd(bytes) {
  zstd ??= import('@bokuweb/zstd-wasm').then(async (library) => {
    await library.init();
    return library;
  });
  return Buffer.from((await zstd).compress(bytes, 1));
}

/** A zstd frame written block by block: sizes that lie, windows that are large, blocks that are tiny and many. */
function handmadeZstd(draw) {
  const out = [];
  for (let frame = draw.small(draw.chance(0.1) ? 2000 : 4); frame >= 0; frame--) {
    if (draw.chance(0.1)) {
      const skipped = Buffer.alloc(8);
      skipped.writeUInt32LE(0x184d2a50 + draw.below(16));
      skipped.writeUInt32LE(draw.pick([0, 1, 100, 0x7fffffff, 0xffffffff]), 4);
      out.push(skipped);
      continue;
    }
    const single = draw.chance(0.3);
    out.push(Buffer.of(0x28, 0xb5, 0x2f, 0xfd, single ? 0x20 : draw.pick([0, 0, 4, 0x40, 0x80, 0xc0, 3])));
    out.push(Buffer.of(single ? draw.below(256) : draw.pick([0x00, 0x08, 0x58, 0x80, 0x87, 0x88, 0xff])));
    for (let block = draw.small(draw.chance(0.1) ? 5000 : 8); block >= 0; block--) {
      const type = draw.pick([0, 0, 1, 1, 2, 3]);
      const size = draw.pick([0, 1, 2, 10, 1000, 131_071, 131_072, 131_073, 2 ** 21 - 1]);
      const header = Buffer.alloc(3);
      header.writeUIntLE(((size << 3) | (type << 1) | (block === 0 ? 1 : 0)) & 0xffffff, 0, 3);
      out.push(
        header,
        Buffer.alloc(type === 1 ? 1 : Math.min(size, 3000), draw.pick(['a', '\n', '{', '"', '\0'])),
      );
    }
  }
  return Buffer.concat(out);
}

function lines(draw) {
  const out = [];
  for (let n = draw.small(40); n >= 0; n--) {
    const kind = draw.below(12);
    if (kind < 7) out.push(changeJson(draw, row(n), draw.small(4)));
    else if (kind === 7)
      out.push(changeJson(draw, { ...row(n), metadata: changeJson(draw, { a: 1, b: [1] }, 3) }, 0));
    else if (kind === 8)
      out.push(
        JSON.stringify({
          text: 'x',
          metadata: draw.pick(['{', '(', '[', "{'a': "]).repeat(draw.pick([10, 70, 5000, 100_000])),
        }),
      );
    else if (kind === 9)
      out.push(
        draw.pick([
          '',
          ' ',
          'null',
          '[]',
          '1',
          '"x"',
          '{}',
          '{"text":"a"',
          '\ufeff{"text":"a"}',
          '{"text":"a"}\r',
          '{"text":"\\ud800"}',
        ]),
      );
    else if (kind === 10)
      out.push(
        `{"text":"a","nested":${'['.repeat(draw.pick([100, 3000, 20_000, 400_000]))}${draw.chance(0.5) ? '' : ']'}}`,
      );
    else
      out.push(
        `{"text":"${'x'.repeat(draw.pick([0, 1, 1000, 300_000]))}","nested":[${'{},'.repeat(draw.pick([1, 100, 100_000]))}1]}`,
      );
  }
  return Buffer.from(out.join(draw.chance(0.9) ? '\n' : draw.pick(['\r\n', '\r', '\u2028', ' '])));
}

export async function make(draw) {
  const format = draw.pick(['jsonl', 'jsonl', 'jsonl.gz', 'jsonl.zst']);
  let bytes = lines(draw);
  if (draw.chance(0.3)) bytes = change(draw, bytes);
  if (format === 'jsonl.gz') {
    bytes = gzipSync(
      draw.chance(0.05) ? Buffer.alloc(draw.pick([1e6, 5e7]), draw.pick(['a', '\n', '{', '['])) : bytes,
      { level: 1 },
    );
    if (draw.chance(0.3))
      bytes = Buffer.concat([
        bytes,
        draw.chance(0.5) ? bytes : Buffer.alloc(draw.small(100), draw.below(256)),
      ]);
  }
  if (format === 'jsonl.zst') bytes = draw.chance(0.5) ? await compressZstd(bytes) : handmadeZstd(draw);
  if (format !== 'jsonl' && draw.chance(0.5)) bytes = change(draw, bytes);
  const maxTextBytes = draw.pick([64 << 20, 64 << 20, 1000, Number(BigInt.asUintN(20, number(draw))) + 1]);
  return { files: { [`a.${format}`]: bytes }, format, maxTextBytes };
}

export async function run(folder, { format, maxTextBytes }) {
  const path = join(folder, `a.${format}`);
  const keep = ['url', 'metadata', 'nested', '__proto__', 'constructor'];
  const options = { columns: { text: 'text', keep }, maxTextBytes, partBytes: 1 << 14 };
  const read = await resultOf(async () => {
    const plan = await planShard(storage, { path, name: `a.${format}`, format }, options);
    let documents = 0;
    for await (const part of readShard(storage, plan, options)) {
      const writer = await createDocumentWriter(storage, join(folder, `out-${part.part % 3}.arrow`), {
        keep,
        compression: 'none',
        metadata: {},
      });
      try {
        for await (const row of part.rows) {
          if (row.kind !== 'document') {
            if (row.detail.length > 5000 || row.detail.includes('\n'))
              throw new Error(`a detail of ${row.detail.length} characters`);
            continue;
          }
          documents++;
          await writer.write([
            {
              row: row.row,
              columns: row.columns,
              textDigest: textDigest(row.text),
              textBytes: row.textBytes,
              tokens: 1,
            },
          ]);
        }
        await writer.finish();
      } finally {
        await writer.abort();
      }
    }
    return documents;
  });
  return [read.outcome, (await resultOf(() => inspect(path, { storage, cacheFolder: null }))).outcome];
}
