/**
 * Every parquet file of the shared folder, by writers of all kinds and in part deliberately broken, against the
 * values that PyArrow reads (fixtures/parquet/digests.py). Both paths are read: each column as a kept column, and
 * as the text of documents. Equal values, or a typed error, or listed below with the reason.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { hasSharedData, sharedData } from '../support/report-skips.js';

const root = `${sharedData}parquet/`;
const child = fileURLToPath(new URL('./digest-files.mjs', import.meta.url));
const FILES_PER_PROCESS = 12;
const SECONDS_PER_FILE = 20;
const MAX_MEGABYTES = 1024;

type Digest = string | { error: string };
interface Golden {
  files: Record<string, { error: string } | { rows: number; columns: [string, Digest][] }>;
}
const golden: Golden = JSON.parse(
  readFileSync(new URL('../../fixtures/parquet/digests.json', import.meta.url), 'utf8'),
);

/** Columns (`*` for all) where we and PyArrow differ, and why that is right. */
const DIFFERENCES: Record<string, Record<string, string>> = {
  'apache-parquet-testing/bad_data/ARROW-GH-41317.parquet': {
    timestamp_us_no_tz:
      'the first row group has a page of 0 values for 3 rows: PyArrow gives a shorter column, we say so',
  },
  'apache-parquet-testing/bad_data/ARROW-GH-41321.parquet': {
    map_float32:
      'a dictionary page claims a negative count, but no page uses it: we read the values, PyArrow refuses',
  },
  'apache-parquet-testing/bad_data/ARROW-RS-GH-6229-DICTHEADER.parquet': {
    nation_key: 'an unused part of the page header is no valid thrift for PyArrow; the values are all there',
  },
  'apache-parquet-testing/data/datapage_v1-corrupt-checksum.parquet': {
    '*': 'checksums are verified here, and not by default in PyArrow',
  },
  'apache-parquet-testing/data/rle-dict-uncompressed-corrupt-checksum.parquet': {
    '*': 'checksums are verified here, and not by default in PyArrow',
  },
  'apache-parquet-testing/data/incorrect_map_schema.parquet': {
    '*': 'map keys are optional, which PyArrow refuses; the levels say all that is needed',
  },
  'hyparquet/incorrect_map_schema.parquet': {
    '*': 'map keys are optional, which PyArrow refuses; the levels say all that is needed',
  },
  'apache-parquet-testing/data/int96_from_spark.parquet': {
    a: 'the last value overflowed in Spark: its day is negative, which PyArrow takes as unsigned',
  },
};

interface Column {
  name: string;
  kept: string | { lost: string };
  text: string | { error: string } | { quarantined: Record<string, number> } | { crash: string };
}
interface Result {
  path: string;
  seconds: number;
  megabytes: number;
  rows?: number;
  columns?: [Column['name'], Column['kept'], Column['text']][];
  error?: string;
  crash?: string;
}

async function digest(files: readonly string[]): Promise<Result[]> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [child, ...files.map((file) => root + file)],
    {
      timeout: SECONDS_PER_FILE * 1000 * 3,
      maxBuffer: 2 ** 26,
    },
  );
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Result);
}

/** What differs between a file as we read it and as PyArrow does, by column. */
function differences(result: Result, expected: Golden['files'][string]): Record<string, unknown> {
  if ('error' in expected) return result.error === undefined ? { '*': 'we read it, PyArrow does not' } : {};
  if (result.columns === undefined) return { '*': result.error ?? result.crash };
  const found: Record<string, unknown> = {};
  if (result.rows !== expected.rows) found['*'] = `${result.rows} rows, expected ${expected.rows}`;
  if (result.columns.length !== expected.columns.length) found['*'] = 'other columns';
  result.columns.forEach(([name, kept, text], i) => {
    const [, value] = expected.columns[i];
    if (typeof value !== 'string') {
      if (typeof kept === 'string') found[name] = { kept };
    } else if (kept !== value) {
      found[name] = { kept, value };
    } else if (!textAgrees(text, value)) {
      found[name] = { text, value };
    }
  });
  return found;
}

/** The column as text has the same values, or is refused as no text, or has values that are not UTF-8. */
function textAgrees(text: Column['text'], value: string): boolean {
  if (typeof text === 'string') return text === value;
  if ('error' in text) return text.error === 'text-type' || text.error === 'nested-text';
  return 'quarantined' in text && Object.keys(text.quarantined).join() === 'not-unicode';
}

const files = hasSharedData
  ? readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.parquet'))
      .sort()
  : [];
const batches = Array.from({ length: Math.ceil(files.length / FILES_PER_PROCESS) }, (_, i) =>
  files.slice(i * FILES_PER_PROCESS, (i + 1) * FILES_PER_PROCESS),
);

describe.skipIf(!hasSharedData)('parquet files of all writers', () => {
  it('has a golden for every file, and a file for every golden', () => {
    expect(files).toEqual(Object.keys(golden.files).sort());
    expect(files.length).toBeGreaterThan(100);
  });

  it.each(batches.map((batch) => [batch[0], batch.length, batch] as const))(
    '%s and the next %i',
    async (_, __, batch) => {
      const results = await digest(batch);
      expect(results.map(({ path }) => path)).toEqual(batch.map((file) => root + file));
      for (const result of results) {
        const file = result.path.slice(root.length);
        expect(result.crash, file).toBeUndefined();
        for (const [name, , text] of result.columns ?? [])
          expect(text, `${file} ${name}`).not.toHaveProperty('crash');
        expect(result.seconds, file).toBeLessThan(SECONDS_PER_FILE);
        expect(result.megabytes, file).toBeLessThan(MAX_MEGABYTES);
        const listed = DIFFERENCES[file] ?? {};
        const found = differences(result, golden.files[file]);
        const unexplained = Object.entries(found).filter(
          ([column]) => !(column in listed) && !('*' in listed),
        );
        expect(unexplained, file).toEqual([]);
        // A difference that is no more must leave the list.
        if (Object.keys(listed).length > 0) expect(Object.keys(found), file).not.toEqual([]);
      }
    },
    120_000,
  );
});
