import { rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { cliHere } from '../support/cli-here.js';
import { quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const root = temporaryFolder();
const file = join(root, 'pipe.yaml');
const at = (name: string): string => JSON.stringify(join(root, name));

beforeAll(async () => {
  const { reference, current } = await quickstartInputs(join(root, 'inputs'));
  const text = 'One and one are two, and two and two are four. '.repeat(20);
  writeFileSync(join(root, 'docs.jsonl'), `${JSON.stringify({ text })}\n{"text": null}\n`);
  writeFileSync(
    file,
    `stages:
  - score: { shards: [${at('docs.jsonl')}], reference: ${JSON.stringify(reference)}, current: ${JSON.stringify(current)}, out: ${at('run')}, sequence: { length: 32 } }
  - select: { run: ${at('run')} }
  - name: slm
    train: { out: ${at('slm')}, model: { start: ${JSON.stringify(current)} }, data: { sources: [${at('run')}] }, batch: { rows: 1, steps: 3 }, loss: { kind: slm } }
  - export: { run: ${at('run')}, to: jsonl, out: ${at('export')} }
`,
  );
}, 60_000);

interface Shown {
  readonly name: string;
  readonly state: string;
  readonly parts?: { readonly quarantined_rows: number };
  readonly training?: { readonly steps: object; readonly loss: number };
}
async function shown(...args: readonly string[]): Promise<readonly Shown[]> {
  const { code, stdout, stderr } = await cliHere(['status', ...args, '--json']);
  expect(code, stderr).toBe(0);
  return (JSON.parse(stdout) as { readonly stages: readonly Shown[] }).stages;
}
const states = async () => (await shown(file)).map(({ name, state }) => [name, state]);

describe('the status of a pipeline file', () => {
  it('goes from stage to stage as the pipeline does', async () => {
    expect(await states()).toEqual([
      ['score', 'waiting'],
      ['select', 'waiting'],
      ['slm', 'waiting'],
      ['export', 'waiting'],
    ]);
    expect((await cliHere(['run', file, '--to', 'select', '--log', 'none'])).code).toBe(3);
    expect((await states()).map(([, state]) => state)).toEqual(['done', 'done', 'waiting', 'waiting']);
    expect((await cliHere(['run', file, '--from', 'slm', '--log', 'none'])).code).toBe(0);
    expect((await states()).map(([, state]) => state)).toEqual(['done', 'done', 'done', 'done']);
  });

  it('tells steps, loss and what was set aside, in words and as JSON', async () => {
    const [score, , slm] = await shown(file);
    expect(score?.parts?.quarantined_rows).toBe(1);
    expect(slm?.training).toMatchObject({ steps: { done: 3, total: 3 }, loss: expect.any(Number) });
    const { stdout } = await cliHere(['status', file, '--watch']);
    expect(stdout).toMatch(/^4 of 4 stages done\n/);
    expect(stdout).toMatch(/slm \(train\) +done +3\/3 steps \(100%\) .*\d\.\d{4}/);
    expect(stdout).toMatch(/score +done +1\/1 parts .*1 row\(s\)/);
  });

  it('of training that only its data bounds is done once its report is there, and not where it was stopped', async () => {
    const state = async () => (await shown(join(root, 'slm')))[0]?.state;
    const [old, later] = [new Date(Date.now() - 300_000), new Date(Date.now() - 200_000)];
    utimesSync(join(root, 'slm/metrics.jsonl'), old, old);
    utimesSync(join(root, 'slm/report.html'), later, later);
    expect(await state()).toBe('done');
    // Gone on with, and stopped: its metrics are newer than its report.
    utimesSync(join(root, 'slm/metrics.jsonl'), later, later);
    utimesSync(join(root, 'slm/report.html'), old, old);
    expect(await state()).toBe('begun');
  });

  it('of a training folder has its steps, of which the file alone knows how many there will be', async () => {
    const [train] = await shown(join(root, 'slm'));
    expect(train?.training?.steps).toEqual({ done: 3, total: null });
  });

  it('sees that parts are gone', async () => {
    rmSync(join(root, 'run/weighted'), { recursive: true });
    rmSync(join(root, 'export/export.json'));
    expect((await states()).map(([, state]) => state)).toEqual(['done', 'begun', 'done', 'waiting']);
  });

  it('of compressed jsonl sees that one part of a shard is gone, and so does who reads the rest', async () => {
    const text = 'One and one are two, and two and two are four. '.repeat(20);
    const shard = join(root, 'many.jsonl.gz');
    writeFileSync(shard, gzipSync(`${JSON.stringify({ text })}\n`.repeat(6)));
    const out = join(root, 'gz');
    const models = ['--reference', join(root, 'inputs/models/reference'), '--sequence-length', '32'];
    const score = [
      'score',
      '--shards',
      shard,
      ...models,
      '--out',
      out,
      '--part-bytes',
      '1024',
      '--log',
      'none',
    ];
    const made = await cliHere(score);
    expect(made.code, made.stderr).toBe(0);
    const parts = async () =>
      (JSON.parse((await cliHere(['status', out, '--json'])).stdout) as { stages: { parts: object }[] })
        .stages[0]?.parts;
    const { done } = (await parts()) as { done: number };
    expect(done).toBeGreaterThan(2);
    expect(await parts()).toMatchObject({ done, total: done });
    rmSync(join(out, 'scored/many.jsonl.gz/00001.manifest.json'));
    rmSync(join(out, 'scored/many.jsonl.gz/00001.arrow'));
    rmSync(join(out, 'scored/many.jsonl.gz/00001.documents.arrow'));
    expect(await parts()).toMatchObject({ done: done - 1, total: done });
    const piped = join(root, 'gz.yaml');
    writeFileSync(
      piped,
      `shards: [${JSON.stringify(shard)}]\nreference: ${at('inputs/models/reference')}\nout: ${at('gz')}\n`,
    );
    expect((await shown(piped)).map(({ state }) => state)).toEqual(['begun']);
    expect((await cliHere(['verify', out])).stdout).toContain('1 planned part(s) are not finished');
    expect((await cliHere(score)).code).toBe(0);
    expect((await shown(piped)).map(({ state }) => state)).toEqual(['done']);
    expect((await cliHere(['verify', out])).stdout).not.toContain('not finished');
  });
});
