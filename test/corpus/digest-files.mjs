// A child process of parquet-corpus.test.ts: reads parquet files through the package and prints, a line a file,
// the digests that fixtures/parquet/digests.py defines, or what was thrown. Time and memory are the parent's concern.
import { createHash } from 'node:crypto';
import { codecsReady } from '#tokensieve/corpus/parquet-codec.js';
import { openColumn } from '#tokensieve/corpus/parquet-column.js';
import { readFooter } from '#tokensieve/corpus/parquet-footer.js';
import { planShard, readShard } from '#tokensieve/corpus/read-shard.js';
import { TokensieveError } from '#tokensieve/errors.js';
import { ExactNumber } from '#tokensieve/json/exact-number.js';
import { localStorage } from '#tokensieve/storage/local.js';

const SLICE = 512;
const storage = localStorage();

/**
 * @param {unknown} value
 * @returns {string}
 */
function canonical(value) {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (Object.is(value, -0)) return '-0';
    if (Number.isSafeInteger(value)) return String(value);
    const double = Buffer.alloc(8);
    double.writeDoubleBE(value);
    return `f${double.toString('hex')}`;
  }
  // The digests have whole numbers beyond ±(2^53 − 1) as text.
  if (value instanceof ExactNumber) return JSON.stringify(value.literal);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) {
    throw new Error(`not plain JSON: ${value}`);
  }
  return `{${Object.entries(value)
    .map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`)
    .join(',')}}`;
}

/** @param {import('node:crypto').Hash} hash */
const short = (hash) => hash.digest('hex').slice(0, 16);

/** @param {unknown} error */
const thrown = (error) =>
  error instanceof TokensieveError
    ? { error: error.code, message: error.message }
    : { crash: error instanceof Error ? error.stack : String(error) };

/**
 * Every value of a column through the path of kept columns.
 * @param {import('#tokensieve/corpus/parquet-footer.js').ParquetFooter} footer
 * @param {import('#tokensieve/corpus/parquet-schema.js').Field} field
 */
async function keptDigest(footer, field) {
  const hash = createHash('sha256');
  for (const group of footer.rowGroups) {
    const column = openColumn(storage, footer, group, field);
    for (let from = 0; from < group.rows; from += SLICE) {
      const { values, lost } = await column.next(Math.min(SLICE, group.rows - from));
      const detail = lost?.find((why) => why !== null);
      if (detail) return { lost: detail };
      for (const value of values) hash.update(`${canonical(value)}\n`);
    }
  }
  return short(hash);
}

/**
 * Every value of a column through the path of documents: its error, or its digest, or why rows were set aside.
 * @param {string} path
 * @param {string} name
 */
async function textDigest(path, name) {
  const options = { columns: { text: name, keep: [] }, maxTextBytes: 2 ** 26, partBytes: 2 ** 25 };
  try {
    const plan = await planShard(
      storage,
      { path, name: 'shard', format: /** @type {const} */ ('parquet') },
      options,
    );
    const hash = createHash('sha256');
    /** @type {Record<string, number>} */
    const quarantined = {};
    for await (const part of readShard(storage, plan, options)) {
      for await (const row of part.rows) {
        if (row.kind === 'document') hash.update(`${JSON.stringify(row.text)}\n`);
        else if (row.reason === 'null-text') hash.update('null\n');
        else if (row.reason === 'empty-text') hash.update('""\n');
        else quarantined[row.reason] = (quarantined[row.reason] ?? 0) + (row.rows ?? 0);
      }
    }
    return Object.keys(quarantined).length > 0 ? { quarantined } : short(hash);
  } catch (error) {
    return thrown(error);
  }
}

/** @param {string} path */
async function digestFile(path) {
  try {
    const footer = await readFooter(storage, path);
    const columns = [];
    for (const field of footer.fields) {
      columns.push([field.name, await keptDigest(footer, field), await textDigest(path, field.name)]);
    }
    return { rows: footer.rows, columns };
  } catch (error) {
    return thrown(error);
  }
}

await codecsReady();
for (const path of process.argv.slice(2)) {
  const started = performance.now();
  const result = await digestFile(path);
  const megabytes = process.resourceUsage().maxRSS / 1024;
  console.log(JSON.stringify({ path, ...result, seconds: (performance.now() - started) / 1000, megabytes }));
}
