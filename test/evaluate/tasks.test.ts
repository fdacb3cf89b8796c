import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lettered, mathqaOptions } from '#tokensieve/evaluate/options.js';
import { promptOf } from '#tokensieve/evaluate/prompts.js';
import { type BadLine, openTaskFile } from '#tokensieve/evaluate/read-items.js';
import { type Item, TASKS, type TaskName } from '#tokensieve/evaluate/tasks.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { temporaryFolder } from '../support/quickstart.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';
import { taskPath, writeLines } from './support.js';

const folder = temporaryFolder();

async function readAll(data: string, name: TaskName, most = Number.POSITIVE_INFINITY) {
  const file = await openTaskFile(localStorage(), data, TASKS[name]);
  const bad: BadLine[] = [];
  const items: Item[] = [];
  for await (const { item } of file.items(most, (line) => bad.push(line))) items.push(item);
  return { items, bad, ...file.read() };
}

describe.skipIf(!hasSharedData)('the real files', () => {
  const data = join(sharedData, 'eval');
  const begun = new Map<TaskName, ReturnType<typeof readAll>>();
  /** Each file is read once, and only when a test runs: the body of a skipped suite runs too. */
  const all = (name: TaskName): ReturnType<typeof readAll> => {
    const reading = begun.get(name) ?? readAll(data, name);
    begun.set(name, reading);
    return reading;
  };

  it.each([
    ['mathqa', 1000, 5],
    ['mmlu_stem', 3018, 4],
    ['aqua', 254, 5],
    ['sat', 32, 4],
    ['gsm8k', 1319, 1],
    ['svamp', 1000, 1],
  ] as const)('%s: every one of %d lines has %d choices', async (name, count, choices) => {
    const { items, bad, lines } = await all(name);
    expect(bad).toEqual([]);
    expect(lines).toBe(count);
    expect(items.length).toBe(count);
    expect(new Set(items.map((item) => item.choices.length))).toEqual(new Set([choices]));
  });

  const first = async (name: TaskName, at = 0) => {
    const item = (await all(name)).items[at]!;
    return { ...promptOf(item, [], TASKS[name].choices), right: item.choices[item.answer] };
  };

  it('are asked as docs/evaluation.md says', async () => {
    expect(await first('mathqa')).toEqual({
      context: 'Question: if log 8 x + log 8 1 / 6 = 1 / 3 , then the value of x is :\nAnswer:',
      choices: ['12', '16', '18', '24', '26'],
      answer: 0,
      right: '12',
    });
    expect(await first('mmlu_stem', 1)).toMatchObject({
      context: expect.stringMatching(
        /^The following are multiple choice questions \(with answers\) about college biology\.\n\nA frameshift mutation is created when\nA\. telomeric[^\n]*\nB\. [^\n]*\nC\. a base pair[^\n]*\nD\. [^\n]*\nAnswer:$/,
      ),
      choices: ['A', 'B', 'C', 'D'],
      answer: 2,
    });
    expect(await first('aqua', 1)).toMatchObject({
      context: expect.stringMatching(/^Question: The original price[^\n]*\nAnswer:$/),
      choices: ['$61', '$65', '$67.40', '$70', '$78.20'],
      right: '$78.20',
    });
    expect((await first('sat', 3)).choices[1]).toBe('$r=1+\\frac{\\sqrt{q}}{s}$');
    // Dots for brackets, and sentences for options.
    expect((await first('sat', 29)).choices[0]).toBe(
      "Rana's sample contained more students than Micha's sample contained.",
    );
    expect((await first('gsm8k', 1)).right).toMatch(/^It takes 2\/2=<<2\/2=1>>1 bolt[\s\S]*#### 3$/);
    expect(await first('svamp')).toMatchObject({
      context: expect.stringMatching(/into 93 groups, How big is each group of bananas\?\nAnswer:$/),
      right: '145',
    });
  });
});

describe('options', () => {
  it('of mathqa are cut as the harness cuts them', () => {
    expect(mathqaOptions('a ) 1 : 1 , b ) 1 : 87 , c ) x , d ) 3 : 2 , e ) none , of these')).toEqual([
      '1 : 1',
      '1 : 87',
      'x',
      '3 : 2',
      'none , of these',
    ]);
    expect(mathqaOptions("['a ) 10', 'b ) 12.5', 'c ) 15', 'd ) 16', 'e ) 17.5']")).toEqual([
      "10'",
      "12.5'",
      "15'",
      "16'",
      "17.5']",
    ]);
  });

  it('of mathqa that go on and on end in bounded time', () => {
    const started = performance.now();
    expect(mathqaOptions('a ) '.repeat(16_000))).toEqual([]);
    expect(mathqaOptions('a ) '.repeat(2_048))).toEqual([]);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('in one string are found by their letters in order', () => {
    expect(lettered('A) set A and B B) B. or A) C) none')).toEqual(['set A and B', 'B. or A)', 'none']);
    expect(lettered('A. 1,190 B. 1,900')).toEqual(['1,190', '1,900']);
    expect(lettered('one B) two')).toEqual([]);
  });
});

describe('a file with bad lines', () => {
  const good = { question: 'q', options: ['A)1', 'B)2'], correct: 'B' };
  const path = taskPath(join(folder, 'bad'), 'aqua');

  it('gives the good items, and names each bad line with what is wrong', async () => {
    writeLines(path, [
      good,
      '{"question": "cut off',
      { ...good, correct: 'F' },
      '',
      { ...good, correct: 'D' },
      { ...good, options: ['A)1', 'B)'] },
      { ...good, options: 'A)1' },
      { question: 'q', correct: 'A' },
      '[1]',
      `"${'x'.repeat(2 ** 20)}"`,
      { ...good, correct: 'a' },
    ]);
    const { items, bad, lines } = await readAll(join(folder, 'bad'), 'aqua');
    expect(items.map(({ choices, answer }) => choices[answer])).toEqual(['2', '1']);
    expect(lines).toBe(10);
    expect(bad.map(({ row, reason }) => [row, reason])).toEqual([
      [1, 'bad-json'],
      [2, 'bad-item'],
      [4, 'bad-item'],
      [5, 'bad-item'],
      [6, 'bad-item'],
      [7, 'bad-item'],
      [8, 'bad-item'],
      [9, 'oversized-item'],
    ]);
    const details = bad.map(({ detail }) => detail);
    expect(details[1]).toBe('correct: expected a letter from A to E');
    expect(details[2]).toBe('answer: the right answer is none of the options');
    expect(details[3]).toBe('options: expected two or more options, none of them empty');
    expect(details[4]).toMatch(/^options: .*expected array, received string/);
    for (const detail of details) expect(detail).not.toContain('\n');
  });

  it('that is not text at all is set aside line by line', async () => {
    writeLines(taskPath(join(folder, 'bytes'), 'aqua'), []);
    const bytes = taskPath(join(folder, 'bytes'), 'aqua');
    writeFileSync(bytes, Buffer.from([0x80, 0xff, 0x0a, 0x80]));
    const { items, bad } = await readAll(join(folder, 'bytes'), 'aqua');
    expect(items).toEqual([]);
    expect(bad.map(({ row, reason }) => [row, reason])).toEqual([
      [0, 'not-unicode'],
      [1, 'not-unicode'],
    ]);
  });

  it('that is UTF-16 is told once, for the file', async () => {
    const path = taskPath(join(folder, 'utf16'), 'aqua');
    writeLines(path, []);
    writeFileSync(path, Buffer.from('\ufeff{"question": "one"}\n{"question": "two"}\n', 'utf16le'));
    const { items, bad } = await readAll(join(folder, 'utf16'), 'aqua');
    expect(items).toEqual([]);
    expect(bad).toMatchObject([{ row: 0, reason: 'broken-shard' }]);
    expect(bad[0]?.detail).toContain('UTF-16');
  });

  it('is hashed whole and counted whole when only its first items are wanted', async () => {
    const { items, bad, lines, sha256 } = await readAll(join(folder, 'bad'), 'aqua', 1);
    expect(items.length).toBe(1);
    expect(bad).toEqual([]);
    expect(lines).toBe(10);
    expect(sha256).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
  });

  it('that is not there is refused by name', async () => {
    await expect(readAll(folder, 'sat')).rejects.toMatchObject({
      code: 'no-task-data',
      message: expect.stringContaining('sat/test.jsonl'),
    });
  });
});
