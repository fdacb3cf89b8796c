/** What the card does while something runs: nvidia-smi's own counters, ten times a second. */
import { spawn } from 'node:child_process';

const FIELDS = ['utilization.gpu', 'memory.used', 'power.draw', 'clocks.sm'];

/**
 * Samples until `stop`. Where there is no nvidia-smi the answer is null: nothing is made up.
 * `window(from, to)` gives means over samples whose time lies in between, `performance.now()` both.
 */
export function watchGpu(enabled) {
  const samples = [];
  if (!enabled) return { window: () => null, stop: () => undefined };
  const child = spawn(
    'nvidia-smi',
    ['-i', '0', `--query-gpu=${FIELDS.join(',')}`, '--format=csv,noheader,nounits', '-lms', '100'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  child.on('error', () => undefined);
  child.unref();
  child.stdout.unref?.();
  child.stdout.on('data', (chunk) => {
    for (const line of String(chunk).trim().split('\n')) {
      const [busy, memory, watts, clock] = line.split(',').map(Number);
      if (Number.isFinite(busy)) samples.push({ at: performance.now(), busy, memory, watts, clock });
    }
  });
  return {
    window(from, to) {
      const within = samples.filter(({ at }) => at >= from && at <= to);
      if (within.length === 0) return null;
      const mean = (field) => within.reduce((sum, sample) => sum + sample[field], 0) / within.length;
      return {
        samples: within.length,
        busy: mean('busy') / 100,
        memory_bytes: Math.max(...within.map(({ memory }) => memory)) * 2 ** 20,
        watts: mean('watts'),
        sm_mhz: mean('clock'),
      };
    },
    stop: () => child.kill(),
  };
}
