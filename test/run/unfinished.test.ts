import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { cliHere } from '../support/cli-here.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

// A selection that was stopped leaves fewer weights than there are losses: who reads them is told.
const root = temporaryFolder();
const run = join(root, 'run');
let inputs: QuickstartInputs;

beforeAll(async () => {
  inputs = await quickstartInputs(join(root, 'inputs'));
  for (const name of ['a', 'b', 'c']) {
    const line = JSON.stringify({ text: `One and ${name} are the first two of all. `.repeat(20) });
    writeFileSync(join(root, `${name}.jsonl`), `${line}\n`);
  }
  const models = ['--reference', inputs.reference, '--current', inputs.current, '--sequence-length', '32'];
  await done(['score', '--shards', join(root, '*.jsonl'), '--out', run, ...models]);
  await done(['select', run]);
}, 60_000);

async function done(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await cliHere(args);
  expect(code, stderr).toBe(0);
  return stdout + stderr;
}

let outs = 0;
const out = () => ['--out', join(root, `out-${outs++}`)];
/** Every command that takes weights as it finds them. */
const readers = {
  audit: () => ['audit', run, ...out()],
  export: () => ['export', run, '--to', 'jsonl', ...out()],
  train: () => [
    ...['train', '--data', join(run, 'weighted'), '--start', inputs.current, ...out()],
    ...['--steps', '1', '--rows', '1', '--selection', 'frozen'],
  ],
  verify: () => ['verify', run],
};
const LEFT_OUT = /left out|without its weights/;

function removeWeights(shard: string): void {
  const folder = join(run, 'weighted', shard);
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
}

describe('a selection without all of its parts', () => {
  it('is told of by none where it has them', async () => {
    for (const args of Object.values(readers)) expect(await done(args())).not.toMatch(LEFT_OUT);
  });

  it('is what a run is read by, and that is said', async () => {
    expect(await done(readers.export())).toContain(`its weighted parts are taken (${join(run, 'weighted')})`);
    const compared = await done(['diff', run, run]);
    expect(compared).toContain('its weighted parts are compared');
    expect(compared).toMatch(/flip/);
    expect(await done(['diff', run, join(run, 'scored')])).toContain(`${run}: its scored parts are compared`);
  });

  it('is told of by every reader, with how many are left out and what to do', async () => {
    removeWeights('b.jsonl');
    for (const [name, args] of Object.entries(readers)) {
      expect(await done(args()), name).toMatch(
        /1 (planned part\(s\) are not finished|of 3 scored parts).*(finish the run|select again)/,
      );
    }
  });

  it('is told of without the notes that its makers leave', async () => {
    rmSync(join(run, '.workers'), { recursive: true });
    for (const [name, args] of Object.entries(readers)) {
      expect(await done(args()), name).toMatch(/1 of 3 scored parts have no weights .* select again/);
    }
  });

  it('is made whole by the selection alone, which says nothing of it', async () => {
    expect(await done(['select', run])).not.toMatch(LEFT_OUT);
    for (const args of Object.values(readers)) expect(await done(args())).not.toMatch(LEFT_OUT);
  });

  it('of which nothing is finished does not turn into its losses without a word', async () => {
    for (const shard of ['a.jsonl', 'b.jsonl', 'c.jsonl']) removeWeights(shard);
    for (const name of ['audit', 'export'] as const) {
      expect(await done(readers[name]())).toMatch(/a selection was begun here .* without its weights/);
    }
  });
});

describe('notes of a run', () => {
  it('that are damaged are told of by verify', async () => {
    const path = join(run, 'run.json');
    const notes = readFileSync(path, 'utf8');
    for (const broken of [notes.replace('"shards"', '"shardz"'), notes.slice(0, 40)]) {
      writeFileSync(path, broken);
      const { code, stdout } = await cliHere(['verify', run]);
      expect(stdout).toMatch(/run\.json: is (damaged|no notes of a run)/);
      expect(code).toBe(1);
    }
    writeFileSync(path, notes);
    await done(['verify', run]);
  });
});
