/**
 * A flipped bit in a file that a run left, then the commands that read it: each ends with an error that names the file, or says
 * what it did instead. `bench/faults/flips.mjs` does the same at every place; here are one or two of each kind.
 */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { evaluationSection } from '#tokensieve/report/evaluations.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { filesBelow } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const root = temporaryFolder();
const sound = join(root, 'sound');
const copy = join(root, 'copy');
const at = (name: string): string => join(copy, name);
const quiet = ['--log', 'none'];
const cpu = ['--device', 'cpu', '--threads', '1'];
let inputs: QuickstartInputs;
let score: string[];
let train: string[];

beforeAll(async () => {
  inputs = await quickstartInputs(join(root, 'inputs'));
  const shard = join(root, 'docs.jsonl');
  const lines = Array.from({ length: 24 }, (_, i) =>
    JSON.stringify({
      text: `The sum of ${i} and ${i * 3} is ${i * 4}. `.repeat(4),
      url: `http://h${i % 3}.org/`,
    }),
  );
  writeFileSync(shard, `${lines.join('\n')}\n`);
  const rows = ['--shards', shard, '--sequence-length', '64'];
  const models = [
    '--reference',
    inputs.reference,
    '--current',
    inputs.current,
    '--cache',
    join(root, 'cache'),
  ];
  score = ['score', ...rows, '--keep-columns', 'url', ...models, ...cpu, ...quiet];
  train = ['train', '--start', inputs.current, '--rows', '2', '--checkpoint-every', '2', ...cpu, ...quiet];
  const evaluation = [
    'eval',
    '--model',
    inputs.current,
    '--held-out',
    `web=${shard}`,
    ...models.slice(-2),
    ...cpu,
  ];
  for (const args of [
    [...score, '--out', join(sound, 'run')],
    ['select', join(sound, 'run'), ...quiet],
    ['pack', ...rows, '--tokenizer', inputs.reference, '--out', join(sound, 'packed'), ...quiet],
    [...train, '--data', join(sound, 'packed'), '--steps', '4', '--out', join(sound, 'trained')],
    ['export', join(sound, 'run'), '--to', 'nanogpt', '--out', join(sound, 'export'), ...quiet],
    [...evaluation, '--out', join(sound, 'eval.json'), ...quiet],
  ]) {
    expect(await cliHere(args), args.join(' ')).toMatchObject({ code: 0 });
  }
}, 240_000);

beforeEach(() => {
  rmSync(copy, { recursive: true, force: true });
  cpSync(sound, copy, { recursive: true });
});

/** Flips a bit of the file, `share` of the way through it, or of the byte behind `text`. */
function flip(name: string, where: number | string): void {
  const bytes = readFileSync(at(name));
  const place =
    typeof where === 'number'
      ? Math.floor(bytes.length * where)
      : bytes.indexOf(where) + Buffer.byteLength(where);
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  writeFileSync(at(name), bytes);
}

const filesBelowNotes = (): string[] =>
  readdirSync(at('run/.workers')).map((name) => join(at('run/.workers'), name));
const part = 'docs.jsonl/00000';
const weighted = `run/weighted/${part}.arrow`;
const documents = `run/scored/${part}.documents.arrow`;

describe('a flipped bit', () => {
  it.each([
    ['audit', weighted, 0.5, () => ['audit', at('run'), '--out', at('audit')]],
    ['audit', weighted, 0.8, () => ['audit', at('run'), '--out', at('audit')]],
    ['audit', documents, 0.5, () => ['audit', at('run'), '--out', at('audit')]],
    ['diff', weighted, 0.6, () => ['diff', at('run/weighted'), join(sound, 'run/weighted')]],
    [
      'a comparison',
      weighted,
      0.6,
      () => ['audit', at('run'), '--compare', join(sound, 'run'), '--out', at('audit')],
    ],
    ['inspect', weighted, 0.6, () => ['inspect', at(weighted)]],
    ['inspect', documents, 0.6, () => ['inspect', at(documents)]],
    ['an export of text', documents, 0.5, () => ['export', at('run'), '--to', 'jsonl', '--out', at('texts')]],
    ['audit', 'run/run.json', '"hash": "', () => ['audit', at('run'), '--out', at('audit')]],
    ['inspect', 'run/run.json', '"hash": "', () => ['inspect', at('run')]],
    ['inspect', 'trained/metrics.jsonl', '"loss":', () => ['inspect', at('trained')]],
    ['status', 'trained/metrics.jsonl', '"tokens":', () => ['status', at('trained')]],
    ['select', 'run/run.json', 'docs', () => ['select', at('run'), '--out', at('other')]],
    ['verify', 'export/export.json', '"rows":', () => ['verify', at('export')]],
    ['verify', 'export/manifests/00000.json', '"tokens":', () => ['verify', at('export')]],
  ] as const)('%s refuses it in %s', async (_, file, where, args) => {
    flip(file, where);
    const { code, stdout, stderr } = await cliHere(args());
    expect(code, stdout + stderr).not.toBe(0);
    expect(stdout + stderr).toMatch(/has sha256|digest|damaged|not JSON/);
    expect(stdout + stderr).toContain(file.split('/').at(-1));
    expect(readdirSync(copy)).not.toContain('audit.json');
  });

  it.each(['data_hash":"', 'settings_hash":"', '"tokens":', '"rows":'])(
    'in state.json at %s falls back to the checkpoint before it',
    async (where) => {
      const { model } = { model: readFileSync(join(sound, 'trained/model/model.safetensors')) };
      flip('trained/checkpoints/step-00000004/trainer/state.json', where);
      const args = [...train, '--data', at('packed'), '--steps', '4', '--out', at('trained')];
      const { code, stderr } = await cliHere(args.map((arg) => (arg === 'none' ? 'json' : arg)));
      expect(code, stderr).toBe(0);
      expect(stderr).toContain('step-00000004');
      expect(stderr).toContain('"done":2');
      expect(readFileSync(at('trained/model/model.safetensors')).equals(model)).toBe(true);
    },
  );

  it('in the notes of a plan or of a process is said, and what they told is not', async () => {
    for (const place of ['"parts":', '"whole":']) {
      const file = filesBelowNotes().find(
        (path) =>
          path.includes('plan-scored') === (place === '"parts":') && readFileSync(path).includes(place),
      );
      if (file === undefined) throw new Error(`no note with ${place}`);
      flip(relative(copy, file), place);
      const { code, stdout, stderr } = await cliHere(['status', at('run')]);
      expect(code, stderr).toBe(0);
      expect(stdout).toContain(`${file}: passed over`);
      expect(stdout).toMatch(place === '"parts":' ? /scored parts +1 done of 1 / : /scored parts +1 done, /);
      cpSync(join(sound, relative(copy, file)), file);
    }
  });

  it('in a report of eval is no figure of a page', async () => {
    const told = await evaluationSection(localStorage(), [at('eval.json')]);
    expect(JSON.stringify(told)).toContain('web');
    flip('eval.json', '"loss": 1');
    await expect(evaluationSection(localStorage(), [at('eval.json')])).rejects.toMatchObject({
      code: 'bad-evaluation',
      message: expect.stringMatching(/eval\.json: damaged, its digest/),
    });
  });

  it('in the cache is told, and what was cached is made again', async () => {
    const cache = join(root, 'cache');
    const graph = filesBelow(cache).find((path) => path.endsWith('.onnx'));
    if (graph === undefined) throw new Error('no graph is cached');
    const [memo] = filesBelow(cache).filter((path) => path.includes('/hashes/'));
    if (memo === undefined) throw new Error('no hash is remembered');
    const whole = readFileSync(graph);
    for (const path of [graph, memo]) {
      const bytes = readFileSync(path);
      const place = path === memo ? bytes.indexOf('"sha256":"') + 12 : Math.floor(bytes.length / 2);
      bytes[place] = (bytes[place] ?? 0) ^ 1;
      writeFileSync(path, bytes);
    }
    const again = score.map((arg) => (arg === 'none' ? 'json' : arg));
    const { code, stderr } = await cliHere([...again, '--out', at('again')]);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/cached graph was damaged, the model is not to blame; it was made again/);
    expect(readFileSync(graph).equals(whole)).toBe(true);
    const file = `scored/${part}.arrow`;
    expect(readFileSync(at(`again/${file}`)).equals(readFileSync(join(sound, 'run', file)))).toBe(true);
  });
});
