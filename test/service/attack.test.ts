/** Every attacker at once for a few seconds; the figures of a minute are in docs/reliability.md (bench/attack). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { quickstartInputs, temporaryFolder } from '../support/quickstart.js';

interface Found {
  readonly statuses: Readonly<Record<string, number>>;
  readonly health_ms: { readonly n: number };
  readonly small_ms: { readonly n: number };
  readonly memory_mb: { readonly before: number; readonly most: number };
  readonly after: { readonly queued_tokens: number; readonly sockets: number };
}
const program: string = new URL('../../bench/attack/attack.mjs', import.meta.url).href;
const { attack } = (await import(program)) as { attack(folder: string, options: object): Promise<Found> };

const linux = existsSync('/proc/self/fd');
if (!linux) console.warn('skipped: no /proc here (memory and sockets of the service under attack)');

it.skipIf(!linux)('nobody is refused for what others do, and nothing of it stays', async () => {
  const folder = temporaryFolder();
  const { reference, current } = await quickstartInputs(join(folder, 'inputs'));
  const found = await attack(join(folder, 'service'), {
    reference,
    current,
    seconds: 3,
    memory: 64,
    parts: 2_000,
  });
  expect(found.statuses).toEqual({ 200: found.health_ms.n + found.small_ms.n });
  expect(found.health_ms.n).toBeGreaterThan(2);
  expect(found.small_ms.n).toBeGreaterThan(0);
  expect(found.memory_mb.most).toBeLessThan(found.memory_mb.before + 6 * 64 + 200);
  expect(found.after.queued_tokens).toBe(0);
  expect(found.after.sockets).toBeLessThanOrEqual(2);
});
