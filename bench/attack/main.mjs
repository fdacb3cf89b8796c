#!/usr/bin/env node
/**
 * node bench/attack/main.mjs --reference MODEL --current MODEL [--seconds 60] [--memory 256]
 *
 * Prints what `attack` measures as JSON, and the goals of docs/reliability.md with whether each was met. Wants two cores to itself.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { attack } from './attack.mjs';

const { values } = parseArgs({
  options: {
    reference: { type: 'string' },
    current: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    memory: { type: 'string', default: '256' },
    attackers: { type: 'string' },
  },
});
const { reference, current = reference, seconds, memory, attackers } = values;
const folder = mkdtempSync(join(tmpdir(), 'tokensieve-attack-'));
try {
  const found = await attack(folder, {
    reference,
    current,
    seconds: Number(seconds),
    memory: Number(memory),
    ...(attackers && { attackers: attackers.split(',') }),
  });
  const { model_call_ms: call, health_ms: health, small_ms: small, memory_mb: held, statuses, after } = found;
  const goals = {
    'health within 250 ms at the worst': health.worst <= 250,
    'a small score in two calls and 100 ms at the median': small.median <= 2 * call + 100,
    'and 1 s more at the 99th percentile': small.p99 <= 2 * call + 1100,
    // A body is there as bytes, as text and as values for a moment; what the process began with comes on top.
    'memory within what it began with and four times --memory': held.most <= held.before + 4 * Number(memory),
    'every answer to who means well is 200': Object.keys(statuses).join() === '200',
    'sockets and queue empty within 10 s':
      after.sockets <= 2 && after.queued_tokens === 0 && after.seconds <= 10,
  };
  console.log(JSON.stringify({ ...found, goals }, null, 2));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
