import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { readFooter } from '#tokensieve/corpus/parquet-footer.js';
import { planShard, readShard } from '#tokensieve/corpus/read-shard.js';
import { httpStorage } from '#tokensieve/storage/http.js';
import { parquetBytes, rowsOf, shards } from '../../fixtures/quickstart/corpus.mjs';
import { defaults } from '../../fixtures/quickstart/make.mjs';
import { fileServer } from '../support/file-server.js';

const options = (keep: readonly string[]) => ({
  columns: { text: 'text', keep },
  maxTextBytes: 2 ** 26,
  partBytes: 2 ** 25,
});

describe('shards over a network', async () => {
  const server = await fileServer();
  const [web] = shards;
  if (web === undefined) throw new Error('the quickstart has no shards');
  const file: Uint8Array = await parquetBytes(rowsOf({ ...web, rows: 60 }, defaults.seed), 'SNAPPY', 20);
  server.files.set('/a.parquet', file);
  const path = `${server.url}/a.parquet`;
  const shard = { path, name: 'a.parquet', format: 'parquet' } as const;

  async function documents(keep: readonly string[]): Promise<number> {
    const storage = httpStorage();
    const plan = await planShard(storage, shard, options(keep));
    server.served.length = 0;
    let rows = 0;
    for await (const part of readShard(storage, plan, options(keep))) for await (const _ of part.rows) rows++;
    return rows;
  }
  const chunkBytes = async (columns: readonly string[]): Promise<number> => {
    const { fields, rowGroups } = await readFooter(httpStorage(), path);
    const wanted = fields.filter(({ name }) => columns.includes(name));
    return rowGroups
      .flatMap(({ chunks }) => wanted.flatMap(({ leaves }) => chunks.slice(...leaves)))
      .reduce((sum, chunk) => sum + (typeof chunk === 'object' ? chunk.end - chunk.start : 0), 0);
  };
  const served = (): number => server.served.reduce((sum, { bytes }) => sum + bytes, 0);

  it('cost their footer and the wanted column, and no byte more', async () => {
    const wanted = await chunkBytes(['text']);
    expect(wanted).toBeLessThan(file.length);
    expect(await documents([])).toBe(60);
    // Size, magic and metadata once, and one request for each of three row groups.
    const footer = file.length - lastChunkEnd(file) - 4;
    expect(server.served).toHaveLength(3 + 3);
    expect(served()).toBe(wanted + 1 + 4 + footer);
  });

  it('join the requests of columns that lie side by side', async () => {
    const { fields } = await readFooter(httpStorage(), path);
    const others = fields.map(({ name }) => name).filter((name) => name !== 'text');
    expect(await documents(others)).toBe(60);
    expect(server.served).toHaveLength(3 + 3);
    expect(served()).toBeLessThanOrEqual(file.length);
  });

  it('take a few windows of memory, however long they are', async () => {
    const line = `${JSON.stringify({ text: 'x'.repeat(2 ** 16 - 12) })}\n`;
    const lines = 1536;
    const size = line.length * lines;
    server.handle = ({ url = '', headers }, response) => {
      if (url !== '/big.jsonl') return false;
      const [, first = '', last = ''] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
      const [start, end] = [Number(first), Math.min(Number(last) + 1, size)];
      const from = Math.floor(start / line.length);
      const body = line.repeat(Math.ceil(end / line.length) - from);
      response.writeHead(206, { 'Content-Range': `bytes ${start}-${end - 1}/${size}` });
      response.end(body.slice(start - from * line.length, end - from * line.length));
      return true;
    };
    const storage = httpStorage();
    const big = { path: `${server.url}/big.jsonl`, name: 'big.jsonl', format: 'jsonl' } as const;
    const plan = await planShard(storage, big, options([]));
    expect(plan.identity.size).toBe(size);
    let rows = 0;
    let most = 0;
    setFlagsFromString('--expose_gc');
    const collect = runInNewContext('gc') as () => void;
    const before = process.memoryUsage().arrayBuffers;
    for await (const part of readShard(storage, plan, options([]))) {
      for await (const _ of part.rows) {
        rows++;
        if (rows % 96 !== 0) continue;
        // What is held, without what waits to be collected.
        collect();
        most = Math.max(most, process.memoryUsage().arrayBuffers - before);
      }
    }
    expect(rows).toBe(lines);
    console.log(
      `${size >> 20} MiB over http: at most ${most >> 20} MiB of buffers held, the server's included`,
    );
    expect(most).toBeLessThan(32 * 2 ** 20);
  });
});

/** Where the metadata begins, less the magic at the end: the last eight bytes say how long it is. */
function lastChunkEnd(file: Uint8Array): number {
  const length = new DataView(file.buffer, file.byteOffset + file.length - 8).getUint32(0, true);
  return file.length - 8 - length;
}
