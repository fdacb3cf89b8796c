/** What the benchmarks share: quantiles, peak memory, ids, and Python at arm's length. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export const median = (values) => quantile(values, 0.5);

/** Nearest-rank quantile. */
export function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Bytes: the peak of this process since it began. */
export const peakRss = () => process.resourceUsage().maxRSS * 1024;

/** Bytes resident now. */
export const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;

/** Ids in [0, vocabulary) from a seed. */
export function randomIds(count, vocabulary, seed = 1) {
  let state = seed;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % vocabulary;
  });
}

/** Runs a Python script that prints one JSON object last; null, with the reason on stderr, when it cannot. */
export function python(interpreter, args) {
  const run = spawnSync(interpreter, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
  });
  if (run.status !== 0) {
    console.error(`skipped: ${interpreter} ${args[0]} ended with ${run.status ?? run.error?.message}`);
    return null;
  }
  return JSON.parse(run.stdout);
}
