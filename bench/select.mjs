// Tokens a second of selection over random losses in memory, against sorting, with the peak RSS beside.
// Run after `npm run build`:  node bench/select.mjs [tokens, default 10,000,000]
// Excess of the two losses ~ continuous, few ties. The batches are 256 rows of 2048 tokens, 5 parts in 2 shards.
import { createSelection } from '../dist/select/selection.js';
import { selectionSettings } from '../dist/select/settings.js';

const wanted = Number(process.argv[2] ?? 10_000_000);
const [rowTokens, batchRows] = [2048, 256];
const batchTokens = rowTokens * batchRows;

/** Exponential losses from a small generator (mulberry32), first token of each row without a loss. */
function losses(seed, tokens) {
  const column = new Float32Array(tokens);
  let state = seed;
  for (let i = 0; i < tokens; i++) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    column[i] =
      i % rowTokens === 0 ? Number.NaN : -2 * Math.log(((t ^ (t >>> 14)) >>> 0) / 2 ** 32 + 2 ** -33);
  }
  return column;
}

const batches = Array.from({ length: Math.ceil(wanted / batchTokens) }, (_, b) => ({
  sequenceIds: BigInt64Array.from({ length: batchRows }, (_, r) => BigInt(b * batchRows + r)),
  offsets: Int32Array.from({ length: batchRows + 1 }, (_, r) => r * rowTokens),
  inputIds: new Int32Array(batchTokens),
  columns: { reference_loss: losses(2 * b + 1, batchTokens), current_loss: losses(2 * b + 2, batchTokens) },
  segments: {
    offsets: Int32Array.from({ length: batchRows + 1 }, (_, r) => r),
    document: BigInt64Array.from({ length: batchRows }, (_, r) => BigInt((b * batchRows + r) >> 2)),
    tokenStart: new Int32Array(batchRows),
    tokenCount: new Int32Array(batchRows).fill(rowTokens),
    byteStart: new BigInt64Array(batchRows),
    byteEnd: new BigInt64Array(batchRows),
  },
}));
const tokens = batches.length * batchTokens;
const perPart = Math.ceil(batches.length / 5);
const parts = Array.from({ length: 5 }, (_, p) => ({
  shard: p < 3 ? 'a' : 'b',
  part: p,
  async *batches() {
    yield* batches.slice(p * perPart, (p + 1) * perPart);
  },
  domainOf: (document) => ['web', 'book', 'code'][Number(document % 3n)],
}));

async function run(settings) {
  const selection = createSelection(selectionSettings.parse(settings));
  const prepared = await selection.prepare(parts);
  let kept = 0;
  for (const part of parts) {
    const weighing = selection.weigh(part, prepared);
    for await (const _ of weighing.batches);
    kept += weighing.statistics().kept;
  }
  return kept;
}

/** Windows of 2^20 by sorting: scores by the engine's own typed sort (best case), or indices by a comparison. */
function bySorting(comparison) {
  let kept = 0;
  for (let first = 0; first < batches.length; first += 2) {
    const window = batches.slice(first, first + 2);
    const scores = new Float32Array(window.length * batchTokens);
    let n = 0;
    for (const { columns } of window) {
      for (let i = 0; i < batchTokens; i++) {
        const score = columns.current_loss[i] - columns.reference_loss[i];
        if (!Number.isNaN(score)) scores[n++] = score;
      }
    }
    const share = Math.floor(n * 0.6);
    const weights = new Float32Array(n);
    if (comparison) {
      const order = Uint32Array.from({ length: n }, (_, i) => i).sort(
        (a, b) => scores[b] - scores[a] || a - b,
      );
      for (let i = 0; i < share; i++) weights[order[i]] = 1;
    } else {
      const cut = scores.slice(0, n).sort()[n - share];
      for (let i = 0; i < n; i++) weights[i] = scores[i] >= cut ? 1 : 0;
    }
    for (let i = 0; i < n; i++) kept += weights[i];
  }
  return kept;
}

const rss = () => process.memoryUsage().rss / 2 ** 20;
const data = rss();
console.log(
  `${tokens} tokens, ${batches.length} batches; node ${process.version}; RSS with the data ${data.toFixed(0)} MB`,
);

async function measure(name, work) {
  let best = Number.POSITIVE_INFINITY;
  let kept = 0;
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, rss());
  }, 5);
  for (let repeat = 0; repeat < 3; repeat++) {
    const start = performance.now();
    kept = await work();
    best = Math.min(best, performance.now() - start);
    peak = Math.max(peak, rss());
  }
  clearInterval(watch);
  const rate = (tokens / best / 1000).toFixed(1);
  console.log(
    `${name.padEnd(34)} ${rate.padStart(7)} M tokens/s  kept ${kept}  peak RSS +${(peak - data).toFixed(0)} MB`,
  );
}

for (const scope of ['window:1048576', 'sequence', 'dataset'])
  await measure(`slm ${scope}`, () => run({ scope }));
for (const method of ['random', 'sampled', 'soft', 'dft', 'rho-loss', 'domain-weights']) {
  await measure(`${method} window:1048576`, () => run({ method }));
}
await measure('sort, typed, window:1048576', () => bySorting(false));
await measure('sort, by comparison, window:1048576', () => bySorting(true));
console.log(`peak RSS of the process ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`);
