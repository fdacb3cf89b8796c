import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { handmade, page, plainTexts } from './handmade-parquet.js';

const child = fileURLToPath(new URL('./peak-memory.mjs', import.meta.url));
const TEXT = 'All primes but one are odd; é and ∑ are not ASCII. '.repeat(200);
const ROWS_PER_PAGE = 100;
const PAGE_BYTES = ROWS_PER_PAGE * Buffer.byteLength(TEXT);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tokensieve-memory-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, chunks: Iterable<Uint8Array>): string {
  const path = join(folder, name);
  const file = openSync(path, 'w');
  for (const chunk of chunks) writeSync(file, chunk);
  closeSync(file);
  return path;
}

/** One row group of pages of a megabyte each. */
function parquet(pages: number): string {
  const texts = page(ROWS_PER_PAGE, plainTexts(Array<string>(ROWS_PER_PAGE).fill(TEXT)));
  const urls = page(ROWS_PER_PAGE, plainTexts(Array<string>(ROWS_PER_PAGE).fill('https://example.org/')));
  const values = pages * ROWS_PER_PAGE;
  const columns = [
    { name: 'url', pages: Array<Buffer>(pages).fill(urls), values },
    { name: 'text', pages: Array<Buffer>(pages).fill(texts), values },
  ];
  return write(`${pages}.parquet`, handmade([{ rows: values, columns }]));
}

function gzip(pages: number): string {
  const line = `${JSON.stringify({ text: TEXT, url: 'https://example.org/' })}\n`;
  const member = gzipSync(line.repeat(ROWS_PER_PAGE));
  return write(`${pages}.jsonl.gz`, Array<Buffer>(pages).fill(member));
}

interface Peak {
  rows: number;
  bytes: number;
  megabytes: number;
}
const peakOf = (path: string): Peak =>
  JSON.parse(execFileSync(process.execPath, [child, path], { encoding: 'utf8' }));

describe('memory', () => {
  it.each([
    ['a parquet row group', parquet],
    ['a gzip stream', gzip],
  ])('is the same for %s of 8 MB and of 256 MB', (_, make) => {
    const [small, big] = [8, 256].map((pages) => peakOf(make(pages)));
    expect(small).toMatchObject({ rows: 8 * ROWS_PER_PAGE, bytes: 8 * PAGE_BYTES });
    expect(big).toMatchObject({ rows: 256 * ROWS_PER_PAGE, bytes: 256 * PAGE_BYTES });
    expect(PAGE_BYTES).toBeGreaterThan(2 ** 20);
    console.info(
      `peak RSS ${small.megabytes.toFixed(0)} MB for 8 pages, ${big.megabytes.toFixed(0)} MB for 256`,
    );
    // The garbage collector's slack, far below the 256 MB that holding the shard would add.
    expect(big.megabytes - small.megabytes).toBeLessThan(100);
    expect(big.megabytes).toBeLessThan(300);
  });
});
