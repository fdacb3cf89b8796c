// Speed and memory of the audit's numbers, beside a bare read of the same Arrow files by the same reader.
//   npm run build && node bench/audit.mjs [megatokens]        (default 10)
// Prints tokens a second and peak RSS of each, each in a process of its own, and their ratio: the share of the
// read-only limit. The run is made anew: ids like a language's (Zipf), repeated boilerplate, documents of some
// hundred tokens with a url, weights that keep the upper 60%.
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { auditRun } from '../dist/audit/audit-run.js';
import { openAuditedRun } from '../dist/audit/audited-run.js';
import { auditSettings } from '../dist/audit/settings.js';
import { createDocumentWriter } from '../dist/dataset/documents.js';
import { openSequences } from '../dist/dataset/finished-parts.js';
import { fingerprintOf, stageManifest } from '../dist/dataset/manifest.js';
import { createSequenceWriter } from '../dist/dataset/writer.js';
import { localStorage } from '../dist/storage/local.js';
import { median, peakRss } from './support/measure.mjs';

const ROW = 2048;
const ROWS = 32;
const PART_TOKENS = 4e6;
const storage = localStorage();

/** A generator of numbers in [0, 1). */
function draws(seed) {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

const boilerplate = Array.from({ length: 50 }, (_, k) =>
  Array.from({ length: 25 }, (_, i) => 20000 + 25 * k + i),
);

/** Documents one after the other, packed into rows; ids and losses as batches of `ROWS` rows. */
function* makeBatches(tokens, random, firstDocument, documents) {
  const n = ROW * ROWS;
  let document = firstDocument;
  let left = 0;
  let pasted = [];
  for (let made = 0; made < tokens; made += n) {
    const ids = new Int32Array(n);
    const reference = new Float32Array(n);
    const current = new Float32Array(n);
    const weight = new Float32Array(n);
    const segments = [];
    const rows = [0];
    for (let r = 0; r < ROWS; r++) {
      for (let p = 0; p < ROW; p++) {
        const i = r * ROW + p;
        if (left === 0) {
          left = 100 + Math.floor(900 * random());
          documents.push({ row: document, tokens: left });
          document++;
          pasted = random() < 0.5 ? [...boilerplate[Math.floor(50 * random() ** 2)]] : [];
        }
        const own = segments.at(-1);
        if (p === 0 || own.document !== document - 1)
          segments.push({ document: document - 1, start: p, count: 1 });
        else own.count++;
        left--;
        ids[i] = pasted.length > 0 ? pasted.shift() : Math.floor(32000 * random() ** 4);
        reference[i] = p === 0 ? Number.NaN : -2 * Math.log(random());
        current[i] = p === 0 ? Number.NaN : reference[i] + 3 * random() - 1.2;
        weight[i] = current[i] > reference[i] ? 1 : 0;
      }
      rows.push(segments.length);
    }
    const integers = (value) => Int32Array.from(segments, value);
    yield {
      sequenceIds: BigInt64Array.from({ length: ROWS }, (_, r) => BigInt(made / ROW + r)),
      offsets: Int32Array.from({ length: ROWS + 1 }, (_, r) => r * ROW),
      inputIds: ids,
      columns: { reference_loss: reference, current_loss: current, weight },
      segments: {
        offsets: Int32Array.from(rows),
        document: BigInt64Array.from(segments, (one) => BigInt(one.document)),
        tokenStart: integers((one) => one.start),
        tokenCount: integers((one) => one.count),
        byteStart: new BigInt64Array(segments.length),
        byteEnd: new BigInt64Array(segments.length),
      },
    };
  }
}

async function makeRun(run, tokens) {
  const scored = { models: { reference: 'a', current: 'b' }, tokenizer: { hash: 'c' } };
  const shard = 'bench.parquet';
  const random = draws(7);
  let from = 0;
  for (let part = 0; part * PART_TOKENS < tokens; part++) {
    const documents = [];
    const wanted = Math.min(PART_TOKENS, tokens - part * PART_TOKENS);
    const batches = [...makeBatches(wanted, random, from, documents)];
    for (const kind of ['scored', 'weighted']) {
      const recipe = kind === 'scored' ? scored : { scored };
      const fingerprint = fingerprintOf(recipe, { name: shard, size: 1, part });
      const stem = join(run, kind, shard, String(part).padStart(5, '0'));
      const columns = ['reference_loss', 'current_loss', ...(kind === 'weighted' ? ['weight'] : [])];
      const writer = await createSequenceWriter(storage, `${stem}.arrow`, {
        columns,
        lossPrecision: 'fp32',
        compression: 'none',
        metadata: { fingerprint },
      });
      for (const { columns: all, ...batch } of batches) {
        const own = Object.fromEntries(columns.map((name) => [name, all[name]]));
        await writer.write({ ...batch, columns: own });
      }
      const { statistics, ...file } = await writer.finish();
      await writer.commit();
      if (kind === 'scored') {
        const keeper = await createDocumentWriter(storage, `${stem}.documents.arrow`, {
          keep: ['url'],
          compression: 'none',
          metadata: { fingerprint },
        });
        await keeper.write(
          documents.map(({ row, tokens: count }) => ({
            row,
            columns: { url: `https://www.site${row % 5000}.example/page/${row}` },
            textDigest: new Uint8Array(16),
            textBytes: count * 4,
            tokens: count,
          })),
        );
        await keeper.finish();
        await keeper.commit();
      }
      const { histograms, ...counts } = statistics;
      const manifest = {
        version: 1,
        kind,
        shard,
        part,
        input: {
          name: shard,
          size: 1,
          row_start: from,
          row_end: from + documents.length,
          text_sha256: '0'.repeat(64),
        },
        fingerprint,
        recipe,
        counts: {
          documents: documents.length,
          text_bytes: wanted * 4,
          quarantined_rows: 0,
          quarantined: {},
          ...counts,
        },
        histograms,
        outputs: [
          {
            kind: 'sequences',
            name: `${String(part).padStart(5, '0')}.arrow`,
            bytes: file.bytes,
            sha256: file.sha256,
            rows: file.rows,
          },
        ],
      };
      await (await stageManifest(storage, `${stem}.manifest.json`, manifest)).commit();
    }
    from += documents.length;
  }
}

/** Reads every record batch and does nothing with it. */
async function readOnly(run) {
  let tokens = 0;
  const { parts } = await openAuditedRun(storage, run);
  for (const part of parts) {
    for await (const batch of (await openSequences(storage, part)).batches()) tokens += batch.inputIds.length;
  }
  return tokens;
}

async function audit(run) {
  const options = { storage, sink: () => undefined, signal: new AbortController().signal };
  const found = await auditRun(auditSettings.parse({ run }), options);
  return found.audit.totals.tokens;
}

const [work, run] = process.argv.slice(2);
if (work === 'read' || work === 'audit') {
  const began = performance.now();
  const tokens = await (work === 'read' ? readOnly(run) : audit(run));
  const seconds = (performance.now() - began) / 1000;
  const cpu = process.resourceUsage().userCPUTime / 1e6;
  console.log(JSON.stringify({ tokens, seconds, cpu, rss: peakRss() }));
} else {
  const megatokens = Number(work ?? 10);
  const folder = await mkdtemp(join(tmpdir(), 'tokensieve-bench-'));
  try {
    await makeRun(folder, megatokens * 1e6);
    console.log(`node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, ${megatokens} M tokens`);
    const results = { read: [], audit: [] };
    // In turn, so that both see the machine in the same moods.
    for (let round = 0; round < 3; round++) {
      for (const kind of ['read', 'audit']) {
        const child = spawnSync(process.execPath, [import.meta.filename, kind, folder], { encoding: 'utf8' });
        if (child.status !== 0) throw new Error(child.stderr);
        results[kind].push(JSON.parse(child.stdout));
      }
    }
    for (const [kind, rounds] of Object.entries(results)) {
      const rates = rounds.map(({ tokens, seconds }) => tokens / seconds / 1e6);
      const peak = Math.max(...rounds.map(({ rss }) => rss)) / 1e6;
      console.log(
        `${kind.padEnd(6)} ${rates.map((rate) => rate.toFixed(2)).join(', ')} M tokens/s (median ${median(rates).toFixed(2)}), ${rounds.map(({ seconds }) => seconds.toFixed(1)).join(', ')} s, CPU ${rounds.map(({ cpu }) => cpu.toFixed(1)).join(', ')} s, peak RSS ${peak.toFixed(0)} MB`,
      );
    }
    const ratios = results.read.map(({ seconds }, i) => seconds / results.audit[i].seconds);
    const busy = results.read.map(({ cpu }, i) => cpu / results.audit[i].cpu);
    const shown = (values) => values.map((value) => value.toFixed(2)).join(', ');
    console.log(`share of the read-only limit: ${shown(ratios)}; by CPU time ${shown(busy)}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
