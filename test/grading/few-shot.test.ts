import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { promptOf } from '#tokensieve/evaluate/few-shot/prompt.js';
import { FEW_SHOT_TASK_NAMES, fewShotTask } from '#tokensieve/evaluate/few-shot/questions.js';
import { areEqual } from '#tokensieve/evaluate/grading/equality.js';
import { normalForm } from '#tokensieve/evaluate/grading/normal-form.js';
import { cliHere } from '../support/cli-here.js';
import { temporaryFolder } from '../support/quickstart.js';
import { sharedData } from '../support/report-skips.js';

const folder = temporaryFolder();
const RIGHT_CHOICE = 'What of the following is the right choice? Explain your answer.';

const asked = (task: (typeof FEW_SHOT_TASK_NAMES)[number], item: object) =>
  fewShotTask(task).item.parse(item);

describe('questions', () => {
  it.each([
    ['gsm8k', { question: 'How many?', answer: 'One.\n#### 1' }, 'How many?', '1'],
    ['svamp', { Body: 'He has 2 ', Question: 'How many?', Answer: 2.0 }, 'He has 2. How many?', '2'],
    ['svamp', { Body: 'He has 2.', Question: 'How many?', Answer: 2.5 }, 'He has 2. How many?', '2.5'],
    ['asdiv', { body: 'Two.', question: 'How many? ', answer: '2 (pears)' }, 'Two. How many?', '2'],
    ['mawps', { input: 'How many ?', target: 43.0 }, 'How many ?', '43'],
    [
      'tabmwp',
      {
        question: 'Which?',
        choices: ["men's", 'other'],
        answer: 'other',
        table_title: 'T',
        table: 'a | b\n1 | 2',
      },
      'Read the following table regarding "T" and answer a question:\na | b\n1 | 2\nWhich? Please select from the following options: ["men\'s", \'other\']',
      'other',
    ],
    [
      'tabmwp',
      { question: 'Sum?', choices: null, answer: '3', table_title: null, table: 'a' },
      'Read the following table and answer a question:\na\nSum?',
      '3',
    ],
    [
      'mathqa',
      { problem: 'what ?', options: 'a ) 1,600 , b ) b ) 2 , c ) 3 / 4 , d ) 4 , e ) none', correct: 'b' },
      `What ?\n${RIGHT_CHOICE}\n(A) 1,600, (B) 2, (C) 3 / 4, (D) 4, (E) none`,
      'B',
    ],
    [
      'mathqa',
      { problem: '60 % ?', options: "['a ) 1 : 8 .', 'b ) 2', 'c ) 3', 'd ) 4', 'e ) 5']", correct: 'a' },
      `60 % ?\n${RIGHT_CHOICE}\n(A) 1 : 8 ., (B) 2, (C) 3, (D) 4, (E) 5`,
      'A',
    ],
    [
      'mmlu_stem',
      { question: 'Which?', choices: ['a', 'b ', 'c', 'd'], answer: 2 },
      `Which?\n${RIGHT_CHOICE}\n(A) a, (B) b, (C) c, (D) d`,
      'C',
    ],
    ['sat', { question: 'x?', options: 'A) 1 B) 2', Answer: 'A' }, `x?\n${RIGHT_CHOICE}\n(A) 1 (B) 2`, 'A'],
  ] as const)('of %s', (task, item, question, answer) => {
    expect(asked(task, item)).toEqual({ question, answer });
  });

  it('stand in their frames, with a hint where the answer is one of two words', () => {
    const examples = '\nQuestion: 1?\nAnswer: 1.\n\n';
    expect(promptOf(examples, { question: 'Is it? ', answer: 'no' }, 'question')).toBe(
      'Question: 1?\nAnswer: 1.\n\n\nQuestion: Is it? (Yes or No)\nAnswer:',
    );
    expect(promptOf('E', { question: 'x', answer: 'True' }, 'problem')).toBe(
      'E\n\n\nProblem:\nx (True or False)\nSolution:',
    );
  });
});

describe('eval --dump-prompts', () => {
  const data = join(folder, 'data');
  const prompts = join(folder, 'prompts');
  mkdirSync(join(data, 'gsm8k'), { recursive: true });
  mkdirSync(join(prompts, 'cot'), { recursive: true });
  writeFileSync(join(prompts, 'cot/gsm8k.md'), 'Question: 1?\nAnswer: 1.\n');
  writeFileSync(
    join(data, 'gsm8k/test.jsonl'),
    '{"question":"a?","answer":"#### 1"}\n{"question":1}\n{"question":"c?","answer":"#### 3"}\n',
  );
  const dump = (out: string, ...flags: readonly string[]) =>
    cliHere(['eval', '--tasks', 'gsm8k', '--task-data', data, '--dump-prompts', out, ...flags]);

  it('writes every good item with its number in the file, and no model is asked for', async () => {
    const out = join(folder, 'prompts.jsonl');
    const { code, stdout } = await dump(out, '--shots', 'paper', '--prompts', prompts);
    expect(code).toBe(3);
    expect(stdout).toContain('set aside: bad-item 1');
    const lines = readFileSync(out, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([
      {
        ...{ task: 'gsm8k', item: 0, question: 'a?', answer: '1' },
        prompt: 'Question: 1?\nAnswer: 1.\n\n\nQuestion: a?\nAnswer:',
      },
      {
        ...{ task: 'gsm8k', item: 2, question: 'c?', answer: '3' },
        prompt: 'Question: 1?\nAnswer: 1.\n\n\nQuestion: c?\nAnswer:',
      },
    ]);
  });

  it('says what it lacks', async () => {
    const out = join(folder, 'none.jsonl');
    expect((await dump(out)).stderr).toContain('--shots paper');
    expect((await dump(out, '--shots', 'paper')).stderr).toContain('--prompts FOLDER');
    const nowhere = await dump(out, '--shots', 'paper', '--prompts', join(folder, 'nowhere'));
    expect(nowhere.code).toBe(2);
    expect(nowhere.stderr).toContain('cot/gsm8k.md: no such file; --prompts expects');
    const generation = await cliHere([
      'eval',
      '--model',
      'm',
      '--tasks',
      'gsm8k',
      '--task-data',
      data,
      '--shots',
      'paper',
    ]);
    expect(generation.code).toBe(2);
    expect(generation.stderr).toContain('--dump-prompts OUT.jsonl');
    expect(existsSync(out)).toBe(false);
  });
});

const hasTasks = existsSync(join(sharedData, 'eval/prompts/first20'));
if (!hasTasks) console.warn('skipped: no ../shared/data/eval/prompts (the paper’s prompts are not compared)');

describe.skipIf(!hasTasks)('the paper’s prompts', () => {
  it.each(FEW_SHOT_TASK_NAMES)('of the first 20 items of %s are the same bytes', (name) => {
    const root = join(sharedData, 'eval');
    const task = fewShotTask(name);
    const examples = readFileSync(join(root, 'prompts/cot', task.examples), 'utf8');
    const items = readFileSync(join(root, name, task.file), 'utf8').split('\n');
    const known = readFileSync(join(root, `prompts/first20/${name}.jsonl`), 'utf8')
      .trimEnd()
      .split('\n');
    expect(known).toHaveLength(20);
    for (const line of known) {
      const { item, answer, prompt_sha256: sha256 } = JSON.parse(line);
      const own = task.item.parse(JSON.parse(items[item]!));
      const prompt = promptOf(examples, own, task.frame);
      expect(createHash('sha256').update(prompt, 'utf8').digest('hex'), `item ${item}`).toBe(sha256);
      expect(areEqual(normalForm(own.answer), normalForm(answer)), `${own.answer} is ${answer}`).toBe(true);
    }
  });
});
