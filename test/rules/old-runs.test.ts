import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { processorLevel } from '#tokensieve/device/numeric-profile.js';
import { writeInputs } from '../../fixtures/old-runs/inputs.mjs';
import { digestFolder } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { temporaryFolder } from '../support/quickstart.js';

const RUNS = fileURLToPath(new URL('../../fixtures/old-runs/runs', import.meta.url));
/** Where the runs' models and texts are too; commands are run in it, since the runs name them from there. */
const folder = temporaryFolder();
const tokensieve = (line: string) => cliHere(line.split(' '));
const fresh = (name: string, as = name): string => {
  rmSync(join(folder, 'runs', as), { recursive: true, force: true });
  cpSync(join(RUNS, name), join(folder, 'runs', as), { recursive: true });
  return `runs/${as}`;
};

const BOS = 'BOS id 0 was inserted from config.json before every document, which the tokenizer does not add';
const PLAIN = '--shards text/plain --keep-columns id --sequence-length 64 --part-bytes 1024';
const scoreLine = (name: string, out: string): string =>
  `score ${PLAIN} --reference models/${name}/reference --current models/${name}/current --out ${out} --device cpu --workers 1 --cache cache --log json`;
/** The golden runs were made on this kind of processor: elsewhere losses may differ in the last bit, and nothing is resumed. */
const golden = JSON.parse(
  readFileSync(join(RUNS, 'declared/scored/pages.jsonl/00000.manifest.json'), 'utf8'),
) as { recipe: { numeric_profile: { processor: string; runtime: string } } };
const sameProcessor = golden.recipe.numeric_profile.processor === processorLevel();

const from = process.cwd();
beforeAll(async () => {
  await writeInputs(folder);
  cpSync(RUNS, join(folder, 'runs'), { recursive: true });
  process.chdir(folder);
});
afterAll(() => process.chdir(from));

describe('verify says what of an old run changes of the rules touch', () => {
  it.each([
    ['named', [`${BOS}: rows differ from transformers' (touches rows, and so all losses and weights)`]],
    [
      'window',
      [
        "reference model: config.json names no sliding_window, and its default of 4096 was not taken: losses of rows longer than that differ from transformers' (touches reference_loss, and weights by it)",
      ],
    ],
    [
      'head',
      [
        "reference model: lm_head.weight was not read, and transformer.wte.weight taken in its place though tie_word_embeddings is false: losses differ from transformers' (touches reference_loss, and weights by it)",
      ],
    ],
    [
      'odd',
      [
        '1 shard(s) of folders that are passed over now, as Spark and pyarrow do, were read (_temporary/0/rows.jsonl): documents may be there twice (touches documents, and shares over all of them)',
        "rows with NaN or Infinity were set aside (1, as in rows.jsonl), which are read now as Python's json reads them (touches rows that are missing)",
        'whole numbers beyond 2^53 in jsonl were rounded (column id) (touches kept columns; ids, losses and weights are right)',
      ],
    ],
  ])('%s', async (name, expected) => {
    const { code, stdout } = await tokensieve(`verify runs/${name}`);
    expect(stdout.split('\n').slice(0, -2)).toEqual(
      expected.map((line) => `runs/${name}: made by older rules: ${line}`),
    );
    // What was written is whole, whatever the rules.
    expect(code).toBe(0);
    expect(stdout).toContain(': sound: ');
  });

  it('or that they touch none', async () => {
    const { code, stdout } = await tokensieve('verify runs/declared');
    expect(stdout).toContain(
      'runs/declared: made by older rules; no change of them since touches any of its results\n',
    );
    expect(code).toBe(0);
    const { rules } = JSON.parse((await tokensieve('verify runs/declared --json')).stdout);
    expect(rules).toEqual({ made_by: 'older-rules', touched: [], unknown: [] });
  });

  it('of which it cannot be told, where folders are gone, and why', async () => {
    const run = fresh('declared', 'moved');
    const notes = join(folder, run, 'run.json');
    const text = readFileSync(notes, 'utf8');
    expect(text).toContain('models/declared/');
    writeFileSync(notes, text.replaceAll('models/declared/reference', 'gone'));
    const { stdout } = await tokensieve(`verify ${run}`);
    expect(stdout).toMatch(
      /^runs\/moved: made by older rules: whether these changes touch it cannot be told, since gone holds no tokenizer\.json any more, and gone holds no model any more: bos-of-the-encoding, declared-eos, /,
    );
    expect(stdout).toContain('own-head');
  });

  it('of packed files, which nothing says the tokenizer of', async () => {
    const { stdout } = await tokensieve('verify runs/named-packed');
    expect(stdout).toContain(
      'nothing says by which rules it was made: whether these changes touch it cannot be told, since nothing says where the tokenizer was: bos-of-the-encoding, ',
    );
  });
});

describe('whoever reads an old run says so', () => {
  it('status, of the stage that it is about', async () => {
    const { stdout } = await tokensieve('status runs/named');
    expect(stdout).toContain(`made by older rules: ${BOS}`);
    const { stages } = JSON.parse((await tokensieve('status runs/declared --json')).stdout);
    expect(stages[0].rules).toEqual({ made_by: 'older-rules', touched: [], unknown: [] });
  });

  it('plan, of what lies in the output folder', async () => {
    const plan = (name: string) =>
      tokensieve(
        scoreLine(name, `runs/${name}`).replace('score ', 'plan ').replace(' --log json', ' --tflops 1'),
      );
    expect((await plan('named')).stdout).toContain(`in the output folder: made by older rules: ${BOS}`);
    expect((await plan('declared')).stdout).toContain(
      'in the output folder: made by older rules; no change of them since touches any of its results',
    );
  });

  it('plan, of stages that name what a run without notes does not', async () => {
    const stage = (name: string): string =>
      `  - name: ${name}\n    pack: { shards: [text/plain], tokenizer: { path: models/${name}/reference }, out: runs/${name}-packed }\n`;
    writeFileSync(join(folder, 'plan.yaml'), `stages:\n${stage('declared')}${stage('named')}`);
    const { stdout, stderr } = await tokensieve('plan plan.yaml --tflops 1');
    expect(stdout, stderr).toContain(`in the output folder of named: made by older rules: ${BOS}`);
    expect(stdout).toContain(
      'in the output folder of declared: nothing says by which rules it was made; no change',
    );
  });

  const WARNING = `made by older rules: ${BOS}`;
  it.each<[string, (name: string) => string]>([
    ['select', (name) => `select runs/${name} --method slm --keep 0.5 --out chosen/${name} --log json`],
    ['audit', (name) => `audit runs/${name} --out audits/${name} --log json`],
    ['export', (name) => `export runs/${name} --to jsonl --out exports/${name} --log json`],
    [
      'train',
      (name) =>
        `train --start models/${name}/reference --data runs/${name}/weighted --steps 1 --out trained/${name} --device cpu --log json`,
    ],
  ])(
    '%s goes on, with one line where a change touches the run and none where it does not',
    async (_, line) => {
      const touched = await tokensieve(line('named'));
      expect(touched.code, touched.stderr).toBe(0);
      const told = touched.stderr.split('\n').filter((one) => one.includes('older rules'));
      expect(told).toHaveLength(1);
      expect(told[0]).toContain(WARNING);
      const untouched = await tokensieve(line('declared'));
      expect(untouched.code, untouched.stderr).toBe(0);
      expect(untouched.stderr).not.toContain('rules');
    },
  );

  it('diff, of both', async () => {
    const { code, stdout, stderr } = await tokensieve('diff runs/named/scored runs/named/weighted');
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(`runs/named/scored: ${WARNING}`);
    expect(stdout).toContain(`runs/named/weighted: ${WARNING}`);
    expect((await tokensieve('diff runs/declared/scored runs/declared/weighted')).stdout).not.toContain(
      'rules',
    );
  });
});

describe('old parts and new ones are never mixed', () => {
  it('what a change touches is refused with the reason, and made anew with --replace', async () => {
    const run = fresh('named', 'refused');
    const before = digestFolder(join(folder, run));
    const { code, stderr } = await tokensieve(scoreLine('named', run));
    expect(code).toBe(2);
    expect(stderr).toContain(
      `runs/refused/scored: 1 finished part(s) are by older rules: ${BOS}: rows differ from transformers' (runs/refused/scored/pages.jsonl/00000.manifest.json); old and new are never mixed: keep them and choose another --out, or redo them with --replace`,
    );
    expect(digestFolder(join(folder, run))).toEqual(before);

    const replaced = await tokensieve(`${scoreLine('named', run)} --replace`);
    expect(replaced.code, replaced.stderr).toBe(0);
    const manifest = JSON.parse(
      readFileSync(join(folder, run, 'scored/pages.jsonl/00000.manifest.json'), 'utf8'),
    );
    expect(manifest.recipe.semantics).toMatchObject({ tokenizing: 2, scoring: 1, reading: 1 });
    // Nothing of the old rules is left to speak of, and the same command finds all done.
    rmSync(join(folder, run, 'weighted'), { recursive: true });
    expect((await tokensieve(`verify ${run}`)).stdout).not.toContain('differ from');
    expect((await tokensieve(scoreLine('named', run))).stdout).toContain('1 of the parts were done before');
  });

  it('what none touches is gone on with: the recipe is what it was', async () => {
    const run = fresh('declared', 'resumed');
    const { code, stdout, stderr } = await tokensieve(scoreLine('declared', run));
    if (sameProcessor) {
      expect(code, stderr).toBe(0);
      expect(stdout).toContain('1 of the parts were done before');
    } else {
      expect(stderr).toMatch(/were made otherwise \([^;]*numeric_profile\.processor[^;]*\); choose/);
    }
    // Its parts are old all the same, and the notes that are written anew do not say otherwise.
    expect((await tokensieve(`verify ${run}`)).stdout).toContain('made by older rules; no change');
  });

  it('of packed files too, which every processor makes alike', async () => {
    const pack = (name: string) =>
      tokensieve(
        `pack ${PLAIN} --tokenizer models/${name}/reference --out ${fresh(`${name}-packed`)} --log json`,
      );
    const untouched = await pack('declared');
    expect(untouched.stdout, untouched.stderr).toContain('1 of the parts were done before');
    const touched = await pack('named');
    expect(touched.code).toBe(2);
    expect(touched.stderr).toContain(`are by older rules: ${BOS}`);
  });

  it('of runs without marks, whatever the folder names', async () => {
    const again = await tokensieve(
      `pack ${PLAIN} --tokenizer models/named/reference --no-bos --no-eos --out ${fresh('bare-packed')} --log json`,
    );
    expect(again.stdout, again.stderr).toContain('1 of the parts were done before');
  });

  it('a tokenizer that is another by the rules since', async () => {
    const again = await tokensieve(
      `pack ${PLAIN} --tokenizer models/strike --out ${fresh('strike-packed')} --log json`,
    );
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('1 finished part(s) are by older rules: ');
    expect(again.stderr).toContain(
      "tokenizer.json was taken as it lies, and control tokens by well-known names: ids of some texts differ from transformers' (",
    );
  });

  it('rows that were set aside and are read now make their part an old one', async () => {
    const run = fresh('odd', 'odd-again');
    // The shard alone: the one of _temporary is no longer part of the folder.
    const line = `score --shards text/odd/rows.jsonl --keep-columns id --reference models/declared/reference --sequence-length 64 --out ${run} --device cpu --cache cache --log json`;
    const { code, stderr } = await tokensieve(line);
    expect(code).toBe(2);
    if (sameProcessor) {
      expect(stderr).toContain(
        "1 finished part(s) are by older rules: rows with NaN or Infinity were set aside (1, as in rows.jsonl), which are read now as Python's json reads them",
      );
    }
    const replaced = await tokensieve(`${line} --replace`);
    expect([0, 3], replaced.stderr).toContain(replaced.code);
    expect(existsSync(join(folder, run, 'scored/_temporary'))).toBe(true);
    expect(existsSync(join(folder, run, 'scored/_temporary/0/rows.jsonl/00000.manifest.json'))).toBe(false);
  });

  it('a new run says nothing of rules, also where its folders are gone', async () => {
    const made = await tokensieve(scoreLine('declared', 'runs/new'));
    expect(made.code, made.stderr).toBe(0);
    const packed = await tokensieve(
      `pack ${PLAIN} --tokenizer models/declared/current --out runs/new-packed --log json`,
    );
    expect(packed.code, packed.stderr).toBe(0);
    rmSync(join(folder, 'models/declared'), { recursive: true });
    try {
      const { stdout } = await tokensieve('verify runs/new');
      expect(stdout).toMatch(/^runs\/new: sound: /);
      expect((await tokensieve('verify runs/new-packed')).stdout).toMatch(/^runs\/new-packed: sound: /);
      const selected = await tokensieve(
        'select runs/new --method slm --keep 0.5 --out chosen/new --log json',
      );
      expect(selected.code, selected.stderr).toBe(0);
      const exported = await tokensieve('export chosen/new --to jsonl --out exports/new --log json');
      expect(exported.stderr).not.toContain('rules');
    } finally {
      await writeInputs(folder);
    }
  });
});
