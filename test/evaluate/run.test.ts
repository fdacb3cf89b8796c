import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { evaluate } from '#tokensieve/evaluate/evaluate.js';
import type { EvaluationReport } from '#tokensieve/evaluate/report.js';
import { type EvaluateInput, evaluateSettings } from '#tokensieve/evaluate/settings.js';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { writeRandomCheckpoint } from '../support/checkpoints.js';
import { runCli } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { temporaryFolder } from '../support/quickstart.js';
import {
  alphabetLoss,
  quietly,
  taskPath,
  writeAlphabetModel,
  writeByteTokenizer,
  writeLines,
} from './support.js';

const folder = temporaryFolder();
const model = join(folder, 'alphabet');
const data = join(folder, 'data');
const cache = join(folder, 'cache');

/** Σ −ln p of ` choice` after a prompt that ends in `:`, in closed form. */
function choiceLoss(choice: string): number {
  const text = `: ${choice}`;
  return Array.from(text.slice(1)).reduce((sum, b, at) => sum + alphabetLoss(text[at]!, b), 0);
}

// A model that knows the alphabet: of options of one length, the one in order is likeliest, and by how much is known.
// Longer ones in order are less likely as a whole and more likely a letter.
const questions = [
  { question: 'which', options: ['A)bdf', 'B)cde', 'C)qpo'], correct: 'B' },
  { question: 'which', options: ['A)ghi', 'B)gih', 'C)hgi'], correct: 'A' },
  { question: 'wrong by design', options: ['A)xyz', 'B)zyx', 'C)yxz'], correct: 'C' },
  { question: 'short or long', options: ['A)mnopqrstuvw', 'B)m', 'C)ut'], correct: 'A' },
];

const settings = (changes: Partial<EvaluateInput>) =>
  evaluateSettings.parse({
    model,
    task_data: data,
    score: { device: 'cpu' },
    run: { cache, threads: 1 },
    ...changes,
  });
const run = (changes: Partial<EvaluateInput>, sink?: (event: RunEvent) => void): Promise<EvaluationReport> =>
  evaluate(settings(changes), quietly(sink));

beforeAll(async () => {
  await writeAlphabetModel(model);
  writeLines(taskPath(data, 'aqua'), questions);
  writeLines(taskPath(data, 'gsm8k'), [
    { question: 'say the alphabet', answer: 'abcdef' },
    { question: 'say nothing much', answer: 'hm' },
    { question: 'and more', answer: 'xyz' },
  ]);
});

describe('multiple choice', () => {
  it('is right where the model is right by construction, by sum, by character and by byte', async () => {
    const { results, 'n-samples': samples } = await run({ tasks: ['aqua'] });
    // By sum: items 1 and 2; the long option of item 4 loses to the short one. By letter it wins.
    const expected = questions.map(({ options, correct }) => {
      const choices = options.map((option) => option.slice(2));
      const best = (of: (choice: string) => number): boolean =>
        choices.every(
          (choice, at) =>
            at === correct.charCodeAt(0) - 65 || of(choice) > of(choices[correct.charCodeAt(0) - 65]!),
        );
      return { sum: best(choiceLoss), letter: best((choice) => choiceLoss(choice) / choice.length) };
    });
    expect(expected.map(({ sum }) => sum)).toEqual([true, true, false, false]);
    expect(expected.map(({ letter }) => letter)).toEqual([true, true, false, true]);
    expect(results['aqua']).toEqual({
      alias: 'aqua',
      'acc,none': 0.5,
      'acc_stderr,none': Math.sqrt((0.5 * 0.5) / 3),
      'acc_norm,none': 0.75,
      'acc_norm_stderr,none': Math.sqrt((0.75 * 0.25) / 3),
      'acc_bytes,none': 0.75,
      'acc_bytes_stderr,none': Math.sqrt((0.75 * 0.25) / 3),
    });
    expect(samples['aqua']).toEqual({ original: 4, effective: 4 });
  });

  it('leaves worked examples out of what is scored, and a limit counts what is scored', async () => {
    const shot = await run({ tasks: ['aqua'], shots: 2 });
    expect(shot['n-samples']['aqua']).toEqual({ original: 4, effective: 2 });
    expect(shot['n-shot']['aqua']).toBe(2);
    expect(shot.results['aqua']).toMatchObject({ 'acc,none': 0, 'acc_norm,none': 0.5 });
    const limited = await run({ tasks: ['aqua'], shots: 1, limit: 1 });
    expect(limited['n-samples']['aqua']).toEqual({ original: 4, effective: 1 });
    expect(limited.results['aqua']).toMatchObject({ 'acc,none': 1, 'acc_stderr,none': 'N/A' });
  });

  it('is the same for any size of batch', async () => {
    const wide = await run({ tasks: ['aqua', 'gsm8k'] });
    const narrow = await run({ tasks: ['aqua', 'gsm8k'], score: { device: 'cpu', batch_tokens: 2 } });
    expect(narrow.results['aqua']).toEqual(wide.results['aqua']);
    expect(narrow.results['gsm8k']!['loss,none']).toBeCloseTo(
      wide.results['gsm8k']!['loss,none'] as number,
      6,
    );
  });
});

it('answers’ loss is the closed form’s, over tokens, with errors over items', async () => {
  const { results, configs } = await run({ tasks: ['gsm8k'] });
  const items = ['abcdef', 'hm', 'xyz'].map((answer) => ({ loss: choiceLoss(answer), n: answer.length + 1 }));
  const n = items.reduce((sum, one) => sum + one.n, 0);
  const loss = items.reduce((sum, one) => sum + one.loss, 0) / n;
  const squares = items.reduce((sum, one) => sum + (one.loss - loss * one.n) ** 2, 0);
  const row = results['gsm8k']!;
  expect(row['loss,none']).toBeCloseTo(loss, 5);
  expect(row['loss_stderr,none']).toBeCloseTo(Math.sqrt(1.5 * squares) / n, 5);
  // A byte a token: bits a byte are the loss in bits.
  expect(row['bits_per_byte,none']).toBeCloseTo(loss / Math.LN2, 5);
  expect(row['perplexity,none']).toBeCloseTo(Math.exp(loss), 2);
  expect(configs['gsm8k']).toMatchObject({ answer_targets: n, answer_bytes: n });
});

it('a context longer than a row is cut at its start and counted; a choice longer than a row is set aside', async () => {
  const own = join(folder, 'long');
  writeLines(taskPath(own, 'aqua'), [
    { question: `${'x'.repeat(200)} which`, options: ['A)abc', 'B)bca'], correct: 'A' },
    { question: 'which', options: [`A)${'ab'.repeat(40)}`, 'B)a'], correct: 'A' },
  ]);
  const events: RunEvent[] = [];
  const report = await run({ tasks: ['aqua'], task_data: own, sequence: { length: 64 } }, (event) =>
    events.push(event),
  );
  expect(report.configs['aqua']).toMatchObject({ truncated_items: 1 });
  expect(report['n-samples']['aqua']).toEqual({ original: 2, effective: 1 });
  expect(report.results['aqua']).toMatchObject({ 'acc,none': 1 });
  expect(report.quarantined).toEqual({ aqua: { 'oversized-item': 1 } });
  expect(events).toContainEqual(
    expect.objectContaining({ event: 'quarantined', shard: 'aqua', row: 1, reason: 'oversized-item' }),
  );
});

it.each([
  [{}, /name held-out documents/],
  [{ tasks: ['aqua'], task_data: undefined }, /--task-data/],
  [{ tasks: 'aqua,nothing' }, /expected one of "mathqa"/],
  [{ held_out: 'web=' }, /expected NAME=GLOB/],
  [{ held_out: { web: [] } }, /held_out/],
  [{ tasks: ['aqua'], shots: -1 }, /shots/],
  [{ tasks: ['aqua'], sequence: { length: 8, overlap: 8 } }, /overlap must be smaller/],
])('settings %j are refused', (changes, message) => {
  expect(() => parseSettings(evaluateSettings, { model, task_data: data, ...changes }, 'test')).toThrow(
    message,
  );
});

it('a set is all the patterns of its name', () => {
  const { held_out } = evaluateSettings.parse({ model, held_out: ['a=x=y/*.jsonl', 'b=z', 'a=w'] });
  expect(held_out).toEqual({ a: ['x=y/*.jsonl', 'w'], b: ['z'] });
});

describe('the command', () => {
  const flags = (...more: string[]): string[] => [
    'eval',
    '--model',
    model,
    '--cache',
    cache,
    '--device',
    'cpu',
    '--threads',
    '1',
    ...more,
  ];

  it('writes the report, the same bytes each time, and shows a table', async () => {
    writeLines(join(folder, 'web/pages.jsonl'), [
      { url: 'https://a.example/1', text: 'abc' },
      { url: 'https://b.example/1', text: 'xyz' },
    ]);
    const out = (name: string): string => join(folder, name);
    const args = (name: string) =>
      flags(
        '--tasks',
        'aqua,gsm8k',
        '--task-data',
        data,
        '--held-out',
        `web=${folder}/web/*.jsonl`,
        '--out',
        out(name),
      );
    const first = await runCli(args('one.json'));
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(/^aqua\s+0\s+4\s+acc\s+0\.5000\s+0\.2887$/m);
    expect(first.stdout).toMatch(/^ {2}a\.example\s+1\s+4\s/m);
    expect((await cliHere(args('two.json'))).code).toBe(0);
    const [one, two] = [readFileSync(out('one.json'), 'utf8'), readFileSync(out('two.json'), 'utf8')];
    expect(two).toBe(one);
    const report = JSON.parse(one) as EvaluationReport;
    expect(Object.keys(report.results)).toEqual(['held_out_web', 'aqua', 'gsm8k']);
    for (const part of [
      report.versions,
      report['n-shot'],
      report['n-samples'],
      report.configs,
      report.higher_is_better,
    ]) {
      expect(Object.keys(part)).toEqual(Object.keys(report.results));
    }
    expect(report.model_sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(report.held_out['web']!.targets).toBe(8);
  });

  it('goes on past bad lines, names them, and exits with 3', async () => {
    const own = join(folder, 'damaged');
    writeLines(taskPath(own, 'aqua'), [questions[0]!, '{"question": 1}', questions[1]!]);
    const { code, stdout, stderr } = await cliHere(flags('--tasks', 'aqua', '--task-data', own));
    expect(code).toBe(3);
    expect(stdout).toContain('quarantined in aqua: bad-item 1');
    expect(stderr).toMatch(/"event":"quarantined","shard":"aqua","row":1,.*aqua\/test\.jsonl: question:/);
  });

  it('refuses in one line what cannot be evaluated, and writes nothing', async () => {
    const small = join(folder, 'small');
    writeRandomCheckpoint(small, {
      architecture: 'LlamaForCausalLM',
      seed: 3,
      overrides: { vocab_size: 100 },
    });
    await writeByteTokenizer(small);
    const out = join(folder, 'never.json');
    for (const [args, message] of [
      [
        ['eval', '--model', small, '--tasks', 'aqua', '--task-data', data, '--cache', cache],
        /gives 100 logits/,
      ],
      [flags('--held-out', '*.jsonl'), /expected NAME=GLOB/],
      [flags('--tsaks', 'aqua'), /Did you mean --tasks/],
    ] as const) {
      const { code, stdout, stderr } = await cliHere([...args, '--log', 'none', '--out', out]);
      expect(stderr).toMatch(message);
      expect(
        stderr
          .trimEnd()
          .split('\n')
          .filter((line) => !line.startsWith('  ')).length,
      ).toBe(1);
      expect(stdout).toBe('');
      expect(code).toBe(2);
    }
    expect(existsSync(out)).toBe(false);
  });
});
