/** Parquet shards: footers and page headers changed field by field, and plain bytes. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { openColumn } from '#tokensieve/corpus/parquet-column.js';
import { readFooter } from '#tokensieve/corpus/parquet-footer.js';
import { planShard, readShard } from '#tokensieve/corpus/read-shard.js';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { change } from '../bytes.mjs';
import { resultOf, SKIP, sharedData, workFolder } from '../support.mjs';
import { changeStruct, readStruct, writeStruct } from '../thrift.mjs';

export const name = 'parquet';
const storage = localStorage();
let seeds;

async function prepare() {
  if (seeds) return seeds;
  seeds = [];
  for (const path of filesBelow(join(sharedData, 'parquet'))) {
    if (!path.endsWith('.parquet') || statSync(path).size > 200_000) continue;
    seeds.push({ bytes: readFileSync(path) });
  }
  seeds.push(...(await written()).map((bytes) => ({ bytes, text: 'text' })));
  for (const seed of seeds) {
    try {
      seed.footer = readStruct(
        seed.bytes,
        seed.bytes.length - 8 - seed.bytes.readUInt32LE(seed.bytes.length - 8),
      );
      seed.pages = pageOffsets(seed);
    } catch {
      seed.pages = [];
    }
  }
  return seeds;
}

/** Files of parquetjs-lite, in both page versions. */
async function written() {
  const { ParquetSchema, ParquetWriter } = createRequire(import.meta.url)('parquetjs-lite');
  const files = [];
  for (const [compression, useDataPageV2] of [
    ['SNAPPY', false],
    ['GZIP', true],
    ['UNCOMPRESSED', false],
  ]) {
    const text = { type: 'UTF8', compression };
    const schema = new ParquetSchema({
      url: text,
      text,
      n: { type: 'INT64', compression, optional: true },
      tags: { type: 'UTF8', repeated: true },
    });
    const path = join(workFolder(), `seed-${files.length}.parquet`);
    const writer = await ParquetWriter.openFile(schema, path, {
      useDataPageV2,
      rowGroupSize: 20,
      pageSize: 5,
    });
    writer.setRowGroupSize?.(20);
    for (let n = 0; n < 40; n++)
      await writer.appendRow({
        url: `https://example.org/${n}`,
        text: `Text ${n}: ∑ ${'x '.repeat(n)}`,
        n: n % 5 ? n : undefined,
        tags: ['a', `b${n}`],
      });
    await writer.close();
    files.push(readFileSync(path));
  }
  return files;
}

const filesBelow = (folder) =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true })
        .map((name) => join(folder, String(name)))
        .sort()
    : [];

/** Where page headers begin: at each chunk's offsets, then behind each page. */
function pageOffsets({ bytes, footer }) {
  const offsets = new Set();
  const visit = (node) => {
    for (const { id, node: inner } of node.fields ?? []) {
      if (inner.type === 6 && (id === 9 || id === 11)) offsets.add(Number(inner.value));
      visit(inner);
    }
    for (const inner of node.items ?? []) visit(inner);
  };
  visit(footer.node);
  const pages = [];
  for (const start of offsets) {
    for (let at = start, i = 0; i < 20 && at >= 4 && at < bytes.length; i++) {
      try {
        const { node, end } = readStruct(bytes, at);
        const size = node.fields.find(({ id }) => id === 3)?.node.value;
        if (typeof size !== 'bigint' || node.fields[0]?.id !== 1) break;
        pages.push(at);
        at = end + Number(size);
      } catch {
        break;
      }
    }
  }
  return pages;
}

export async function make(draw) {
  const all = await prepare();
  const seed = draw.pick(all);
  let { bytes } = seed;
  const kind = draw.below(4);
  if (kind === 0 || !seed.footer) bytes = change(draw, bytes, draw.pick(all).bytes);
  if (kind !== 0 && seed.footer && kind < 3) {
    const start = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8);
    const { node } = readStruct(bytes, start);
    for (let i = draw.small(4); i >= 0; i--) changeStruct(draw, node);
    const footer = writeStruct(node);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(footer.length);
    bytes = Buffer.concat([bytes.subarray(0, start), footer, length, bytes.subarray(-4)]);
  }
  if (kind >= 2 && seed.pages.length > 0) bytes = changePage(draw, bytes, draw.pick(seed.pages));
  return { files: { 'a.parquet': bytes }, text: seed.text };
}

/** A page header changed; what follows keeps its place where the new header is no longer. */
function changePage(draw, bytes, at) {
  let read;
  try {
    read = readStruct(bytes, at);
  } catch {
    // The footer's changes have moved it.
    return change(draw, bytes);
  }
  const { node, end } = read;
  for (let i = draw.small(3); i >= 0; i--) changeStruct(draw, node);
  const header = writeStruct(node);
  if (header.length === end - at || draw.chance(0.5))
    return Buffer.concat([bytes.subarray(0, at), header, bytes.subarray(end)]);
  const copy = Buffer.from(bytes);
  header.copy(copy, at);
  return copy;
}

export async function run(folder, { text: given }) {
  const path = join(folder, 'a.parquet');
  const outcomes = [];
  const footer = await resultOf(() => readFooter(storage, path));
  outcomes.push(footer.outcome);
  const names = footer.value?.fields.map(({ name }) => name) ?? [];
  const text =
    given ??
    footer.value?.fields.find(({ leaf }) => leaf?.physical === 'BYTE_ARRAY')?.name ??
    names[0] ??
    'text';
  const options = { columns: { text, keep: names.slice(0, 8) }, maxTextBytes: 64 << 20, partBytes: 1 << 20 };
  const shard = { path, name: 'a.parquet', format: 'parquet' };
  const plan = await resultOf(() => planShard(storage, shard, options));
  outcomes.push(plan.outcome);
  if (plan.value) {
    const read = await resultOf(async () => {
      let documents = 0;
      let next = 0;
      for await (const part of readShard(storage, plan.value, options)) {
        for await (const row of part.rows) {
          if (row.row !== next) throw new Error(`row ${row.row} follows ${next - 1}`);
          next = row.row + (row.kind === 'document' ? 1 : (row.rows ?? 0));
          if (row.kind === 'document') {
            documents++;
            JSON.stringify(row.columns);
          }
          if (next > 3_000_000) return SKIP;
        }
      }
      return documents;
    });
    outcomes.push(read.outcome);
  }
  if (footer.value) {
    const columns = await resultOf(async () => {
      for (const group of footer.value.rowGroups.slice(0, 4)) {
        for (const field of footer.value.fields.slice(0, 20)) {
          const { values } = await openColumn(storage, footer.value, group, field).next(
            Math.min(group.rows, 1000),
          );
          JSON.stringify(values, (_, value) => (typeof value === 'bigint' ? String(value) : value));
        }
      }
    });
    outcomes.push(columns.outcome);
  }
  outcomes.push((await resultOf(() => inspect(path, { storage, cacheFolder: null }))).outcome);
  return outcomes;
}
