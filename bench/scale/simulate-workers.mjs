/** One process of the simulation: many workers, each with connections of its own. Says on its end what they saw. */

import { queuePlace } from '../../dist/queue/connection.js';
import { runQueueWorker } from '../../dist/queue/worker.js';
import { simulatedPerformer } from './simulated.mjs';

const { url, queue, out, parts, seconds, workers, lease } = JSON.parse(process.argv[2] ?? '{}');
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());

/** Milliseconds between the end of a part and the beginning of the same worker's next. */
const gaps = [];
const commits = [];
const listings = [];
const warnings = {};
let made = 0;
let loop = 0;
// How late a timer comes: what the process itself cannot keep up with.
const beat = setInterval(() => {
  const due = performance.now();
  setImmediate(() => {
    loop = Math.max(loop, performance.now() - due);
  });
}, 100);

const one = () => {
  let last = null;
  const performer = simulatedPerformer({
    out,
    parts,
    seconds,
    note(event) {
      if (event.event === 'listed') return listings.push(event);
      made++;
      if (last !== null) gaps.push(event.began - last);
      commits.push(event.ended - event.waited);
      last = event.ended;
    },
  });
  return runQueueWorker({
    place: queuePlace(url, queue),
    performer,
    parts: 1,
    lease,
    takeovers: 1_000_000,
    grace: 0,
    untilEmpty: false,
    sink(event) {
      const what = event.message?.replace(/[0-9a-f.:]{6,}/g, '…') ?? event.event;
      warnings[what] = (warnings[what] ?? 0) + 1;
    },
    signal: stop.signal,
  });
};
const running = Array.from({ length: workers }, one);
process.stdout.write('started\n');
await Promise.allSettled(running);
clearInterval(beat);
process.stdout.write(
  `${JSON.stringify({ made, gaps, commits, listings, warnings, loop, rss: process.memoryUsage().rss })}\n`,
  () => process.exit(0),
);
