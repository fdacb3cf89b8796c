// Speed of the dataset room: sequence files written and read, against the same bytes written and read plainly.
//   npm run build && node bench/dataset.mjs [megatokens]
// Prints MB of Arrow file per second (median of 3 runs), the plain rate beside it, and the peak RSS.
// "plain" hashes the bytes too, since every written file has a sha256; both end with fsync.
import { createHash } from 'node:crypto';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSequences } from '../dist/dataset/reader.js';
import { createSequenceWriter } from '../dist/dataset/writer.js';
import { localStorage } from '../dist/storage/local.js';

const tokens = Number(process.argv[2] ?? 8) * 1e6;
const ROW = 2048;
const ROWS = 32;
const folder = await mkdtemp(join(tmpdir(), 'tokensieve-bench-'));
const storage = localStorage();

/** A batch like real ones: Zipf-like ids, exponential losses around 2 nats. */
function makeBatch() {
  let state = 1;
  const random = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  const n = ROW * ROWS;
  const loss = () =>
    Float32Array.from({ length: n }, (_, i) => (i % ROW === 0 ? Number.NaN : -2 * Math.log(random())));
  return {
    sequenceIds: BigInt64Array.from({ length: ROWS }, (_, i) => BigInt(i)),
    offsets: Int32Array.from({ length: ROWS + 1 }, (_, i) => i * ROW),
    inputIds: Int32Array.from({ length: n }, () => Math.floor(32000 * random() ** 4)),
    columns: { reference_loss: loss(), current_loss: loss() },
    segments: {
      offsets: Int32Array.from({ length: ROWS + 1 }, (_, i) => i * 2),
      document: BigInt64Array.from({ length: 2 * ROWS }, (_, i) => BigInt(i >> 1)),
      tokenStart: Int32Array.from({ length: 2 * ROWS }, (_, i) => (i & 1) * 1000),
      tokenCount: Int32Array.from({ length: 2 * ROWS }, (_, i) => (i & 1 ? ROW - 1000 : 1000)),
      byteStart: new BigInt64Array(2 * ROWS),
      byteEnd: new BigInt64Array(2 * ROWS).fill(4000n),
    },
  };
}

const batch = makeBatch();
let peak = 0;
const look = () => {
  peak = Math.max(peak, process.memoryUsage().rss);
};

async function timed(work) {
  const times = [];
  for (let run = 0; run < 3; run++) {
    const start = performance.now();
    await work();
    times.push((performance.now() - start) / 1000);
  }
  return times.sort((a, b) => a - b)[1];
}

async function writeArrow(path, options) {
  const writer = await createSequenceWriter(storage, path, {
    columns: ['reference_loss', 'current_loss'],
    metadata: {},
    ...options,
  });
  for (let written = 0; written < tokens; written += ROW * ROWS) {
    await writer.write(batch);
    look();
  }
  await writer.finish();
  await writer.commit();
}

async function readArrow(path) {
  let rows = 0;
  for await (const one of (await readSequences(storage, path)).batches()) {
    rows += one.sequenceIds.length;
    look();
  }
  return rows;
}

async function writePlain(path, bytes) {
  const chunk = new Uint8Array(1 << 20).map((_, i) => i * 31);
  const file = await open(path, 'w');
  const hash = createHash('sha256');
  for (let at = 0; at < bytes; at += chunk.length) {
    hash.update(chunk);
    await file.write(chunk);
  }
  await file.sync();
  await file.close();
  hash.digest('hex');
}

async function readPlain(path) {
  const file = await open(path);
  const { size } = await file.stat();
  for (let at = 0; at < size; at += 1 << 20) await file.read(Buffer.allocUnsafeSlow(1 << 20), 0, 1 << 20, at);
  await file.close();
}

console.log(
  `node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, ${tokens / 1e6} M tokens a file`,
);
console.log(
  'variant       MB file   write MB/s  plain MB/s   read MB/s  plain MB/s   write Mtok/s  read Mtok/s',
);
try {
  for (const lossPrecision of ['fp32', 'fp16']) {
    for (const compression of ['none', 'lz4', 'zstd']) {
      const path = join(folder, 'a.arrow');
      const plain = join(folder, 'plain');
      const write = await timed(() => writeArrow(path, { lossPrecision, compression }));
      const bytes = (await stat(path)).size;
      const read = await timed(() => readArrow(path));
      const plainWrite = await timed(() => writePlain(plain, bytes));
      const plainRead = await timed(() => readPlain(plain));
      const rate = (seconds) => (bytes / 1e6 / seconds).toFixed(0).padStart(10);
      const speed = (seconds) => (tokens / 1e6 / seconds).toFixed(1).padStart(12);
      console.log(
        `${lossPrecision} ${compression.padEnd(5)} ${(bytes / 1e6).toFixed(1).padStart(10)} ${rate(write)}  ${rate(plainWrite)}  ${rate(read)}  ${rate(plainRead)}  ${speed(write)} ${speed(read)}`,
      );
    }
  }
  console.log(`peak RSS ${(peak / 1e6).toFixed(0)} MB`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
