import { spawnSync } from 'node:child_process';

const TIMEOUT_MS = 20_000;

/**
 * What nvidia-smi says of the machine's cards: a line a card, `fields` with commas between. Null where it does not run.
 * @param units whether numbers carry their unit, as in `81559 MiB`
 */
export function askNvidiaSmi(fields: readonly string[], units: boolean): string | null {
  const format = units ? 'csv,noheader' : 'csv,noheader,nounits';
  const asked = spawnSync('nvidia-smi', [`--query-gpu=${fields.join(',')}`, `--format=${format}`], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
  });
  return asked.status === 0 ? asked.stdout : null;
}
