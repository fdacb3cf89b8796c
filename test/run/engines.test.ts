/** Losses by another program (docs/engines.md): an exact bigram engine in Node, against ONNX Runtime on the same models. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { tableFromIPC } from 'apache-arrow';
import { beforeAll, describe, expect, it } from 'vitest';
import { digestFolder, filesBelow, runCli, startCli } from '../support/cli.js';
import {
  manySmallParts,
  type QuickstartInputs,
  quickstartInputs,
  temporaryFolder,
} from '../support/quickstart.js';

const program = fileURLToPath(new URL('../../examples/engine.mjs', import.meta.url));
const ENGINE = `exec:exec '${process.execPath}' '${program}'`;
const KILLS = 4;

describe('a run whose losses another program computes', () => {
  const folder = temporaryFolder();
  let inputs: QuickstartInputs;
  let shards: string;
  beforeAll(async () => {
    inputs = await quickstartInputs(join(folder, 'inputs'));
    shards = await manySmallParts(join(folder, 'corpus'));
  });

  const args = (out: string, ...more: string[]): string[] => [
    ...[
      'score',
      '--shards',
      shards,
      '--reference',
      inputs.reference,
      '--current',
      inputs.current,
      '--threads',
      '1',
    ],
    ...['--out', join(folder, out), '--sequence-length', '128', '--part-bytes', '8192', '--log', 'json'],
    ...['--cache', join(inputs.folder, 'cache'), ...more],
  ];

  it.each(['across', 'within'])('has the losses of ONNX Runtime, %s documents', async (attention) => {
    const outs = [`own-${attention}`, `engine-${attention}`, `mixed-${attention}`];
    const engines = [[], ['--engine', ENGINE], ['--reference-engine', ENGINE]];
    const flags = ['--attention', attention, '--entropy', '--limit', '30'];
    const runs = outs.map((out, i) => runCli(args(out, ...flags, ...(engines[i] ?? []))));
    for (const { code, stderr } of await Promise.all(runs)) expect(code, stderr).toBe(3);
    const [own, ...others] = outs.map(rowsOf);
    expect(own?.values['reference_loss']?.length).toBeGreaterThan(2000);
    for (const other of others) {
      expect(other.ids).toEqual(own?.ids);
      for (const [column, values] of Object.entries(own?.values ?? {})) {
        const found = other.values[column] ?? [];
        expect(found).toHaveLength(values.length);
        // What no model predicts, a row's first token or a document's, has no loss: NaN under both.
        const wrong = values.filter((value, i) => {
          const other = found[i] ?? 0;
          return Number.isNaN(value) ? !Number.isNaN(other) : !(Math.abs(value - other) < 2e-5);
        });
        expect(wrong, column).toEqual([]);
      }
    }
  });

  it('is made of the same bytes after kills of the engine and of its parent, and leaves no process', {
    timeout: 240_000,
  }, async () => {
    const clean = await runCli(args('clean', '--engine', ENGINE));
    expect(clean.code, clean.stderr).toBe(3);
    const expected = digestFolder(join(folder, 'clean'));
    let failed = 0;
    for (let kill = 0; ; kill++) {
      let parts = 0;
      const running = startCli(args('killed', '--engine', ENGINE), {
        onLine: (line) => {
          if (kill === KILLS || !line.includes('"part-started"') || ++parts !== 1 + (kill % 3)) return;
          const pids =
            kill % 2 === 0 ? childrenOf(running.child.pid ?? 0).filter(isEngine) : [running.child.pid ?? 0];
          for (const pid of pids) process.kill(pid, 'SIGKILL');
        },
      });
      const { code, signal, stderr } = await running.outcome;
      if (code === 3) break;
      failed++;
      if (kill % 2 === 0) {
        expect(code, stderr).toBe(1);
        expect(stderr).toMatch(/part \d+: engine exec:.* it was killed \(SIGKILL\)/);
      } else expect(signal).toBe('SIGKILL');
    }
    expect(failed).toBeGreaterThanOrEqual(KILLS - 2);
    expect(digestFolder(join(folder, 'killed'))).toEqual(expected);
    // Its input is closed, so an engine ends by itself when its parent was killed.
    for (let tries = 0; engines().length > 0 && tries < 100; tries++) await wait(50);
    expect(engines()).toEqual([]);
  });

  it('is another run by another engine: the recipe names it, and so does the audit', async () => {
    await runCli(args('named', '--engine', ENGINE));
    const other = await runCli(args('named'));
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/engine/);
    const audited = await runCli(['audit', join(folder, 'named'), '--out', join(folder, 'audit')]);
    expect(audited.code, audited.stderr).toBe(0);
    const page = readFileSync(join(folder, 'audit', 'report.html'), 'utf8');
    expect(page).toContain('by engine bigram');
  });

  const engines = (): number[] =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => isEngine(pid) && environmentOf(pid).includes(folder));

  /** Of every row: its ids; of every eligible entry, the losses and entropies under both models. */
  function rowsOf(out: string) {
    const ids: number[][] = [];
    const values: Record<string, number[]> = {};
    for (const path of filesBelow(join(folder, out, 'scored')).filter((name) =>
      /\/\d{5}\.arrow$/.test(name),
    )) {
      const table = tableFromIPC(readFileSync(path));
      for (const row of table) {
        const own = row.toJSON() as Record<string, { toArray(): ArrayLike<number> }>;
        ids.push(Array.from(own['input_ids']?.toArray() ?? []));
        for (const [name, list] of Object.entries(own).filter(([column]) => /loss|entropy/.test(column))) {
          const column = values[name] ?? [];
          values[name] = column;
          for (const value of Array.from(list?.toArray() ?? [])) column.push(value);
        }
      }
    }
    return { ids, values };
  }
});

const statusOf = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
};
const isEngine = (pid: number): boolean => statusOf(pid, 'cmdline').includes(program);
const environmentOf = (pid: number): string => statusOf(pid, 'environ');

/** A process's children, their children included. */
function childrenOf(parent: number): number[] {
  const own = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => Number(/^PPid:\s+(\d+)/m.exec(statusOf(pid, 'status'))?.[1]) === parent);
  return own.flatMap((pid) => [pid, ...childrenOf(pid)]);
}
