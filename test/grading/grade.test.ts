import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parseHTML } from 'linkedom';
import { describe, expect, it } from 'vitest';
import { openGrader } from '#tokensieve/evaluate/grading/grader.js';
import { cliHere } from '../support/cli-here.js';
import { temporaryFolder } from '../support/quickstart.js';

const folder = temporaryFolder();
let files = 0;

/** A file of these lines; objects become JSON. */
function written(lines: readonly unknown[], name = 'jsonl'): string {
  const path = join(folder, `${++files}.${name}`);
  const text = lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('');
  writeFileSync(path, name.endsWith('.gz') ? gzipSync(text) : text);
  return path;
}

async function graded(path: string, task: string, ...flags: readonly string[]) {
  const out = join(folder, `${++files}.graded.jsonl`);
  const { code, stdout } = await cliHere(['grade', path, '--task', task, '--out', out, ...flags]);
  const lines = readFileSync(out, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  return { code, stdout, out, lines };
}

const FORMS: Readonly<Record<string, (output: string, right: string) => object>> = {
  'of math-evaluation-harness': (output, right) => ({
    question: 'q',
    gt: right,
    answer: right,
    code: [output],
  }),
  ours: (output, right) => ({ item: 0, question: 'q', output, answer: right }),
  'of vLLM': (output, right) => ({ prompt: 'q', outputs: [{ index: 0, text: output }], answer: right }),
  'of a batch': (output, right) => ({
    custom_id: '1',
    response: { status_code: 200, body: { choices: [{ message: { role: 'assistant', content: output } }] } },
    answer: right,
  }),
  'of lm-evaluation-harness': (output, right) => ({
    doc_id: 0,
    doc: { problem: 'q', answer: right },
    target: right,
    resps: [[output]],
    filtered_resps: ['[invalid]'],
    exact_match: 0,
  }),
};

describe('grade', () => {
  it.each(Object.entries(FORMS))('reads lines %s', async (_, form) => {
    const path = written([
      form('so it is $\\boxed{\\frac12}$', '0.5'),
      form('so it is $\\boxed{3}$', '0.5'),
      form('no idea', '7'),
    ]);
    const { code, stdout, lines } = await graded(path, 'math');
    expect(code).toBe(0);
    expect(lines.map(({ score }) => score)).toEqual([true, false, false]);
    expect(lines.map(({ extracted }) => extracted)).toEqual(['\\frac{1}{2}', '3', '']);
    // √(1/3 · 2/3 / 2)
    expect(stdout).toContain('math 33.33% ± 33.33, 1 of 3 right');
    expect(stdout).toContain('1 outputs give no answer');
  });

  it('takes the answer of GSM8K from after its steps, and a letter from a choice', async () => {
    const steps = {
      question: 'q',
      answer: 'It has 9 * 2 = <<9*2=18>>18.\n#### 1,800',
      output: 'The answer is 1800.',
    };
    expect((await graded(written([steps]), 'gsm8k')).lines[0].score).toBe(true);
    const letters = [
      { gt: 'B', answer: '1', output: 'The answer is (B).' },
      { answer: 2, output: 'The answer is c' },
      { correct: 'a', output: 'The answer is B' },
    ];
    const { lines } = await graded(written(letters), 'mmlu_stem');
    expect(lines.map(({ score }) => score)).toEqual([true, true, false]);
  });

  it('gives the same bytes whatever verdicts the file holds, gzipped or not', async () => {
    const items = [
      { answer: '1', code: ['The answer is 1.'] },
      { answer: '2', code: ['The answer is 1.'] },
    ];
    const plain = await graded(written(items), 'math');
    const lying = items.map((item) => ({ ...item, score: [false], pred: ['7'], report: [null] }));
    const other = await graded(written(lying, 'jsonl.gz'), 'math');
    expect(readFileSync(other.out, 'utf8')).toBe(readFileSync(plain.out, 'utf8'));
  });

  it('grades its own verdicts again to the same', async () => {
    const first = await graded(
      written([
        { question: 'a', answer: '\\frac{1}{2}', output: '\\boxed{.5}' },
        { question: 'b', answer: '2', output: '\\boxed{3}' },
      ]),
      'math',
    );
    const second = await graded(first.out, 'math');
    expect(second.lines).toEqual(first.lines);
  });

  it('sets bad lines aside at their place and ends with exit code 3', async () => {
    const path = written([
      '{"answer": "1"',
      '',
      { output: 'The answer is 1.' },
      { answer: '1', output: 'The answer is 1.' },
      '[1]',
    ]);
    const { code, lines, stdout } = await graded(path, 'math');
    expect(code).toBe(3);
    expect(lines.map(({ line, score, error }) => [line, score, error?.split(':')[0]])).toEqual([
      [0, undefined, 'bad-json'],
      [2, undefined, 'bad-item'],
      [3, true, undefined],
      [4, undefined, 'bad-item'],
    ]);
    expect(lines[1].error).toContain('expected the right answer in one of them');
    expect(stdout).toContain('set aside: bad-json 1, bad-item 2');
    expect(stdout).toContain('1 of 1 right');
  });

  it('refuses a file that is not there, and to write over what it reads', async () => {
    const missing = await cliHere(['grade', join(folder, 'none.jsonl'), '--task', 'math']);
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain('none.jsonl: no such file; expected JSON lines of outputs');
    const path = written([{ answer: '1', output: '1' }]);
    const over = await cliHere(['grade', path, '--task', 'math', '--out', path]);
    expect(over.code).toBe(2);
    expect(over.stderr).toContain('holds the outputs; choose another --out');
    expect((await cliHere(['grade', path, '--task', 'chess'])).code).toBe(2);
  });
});

describe('two models', () => {
  const item = (n: number, output: string) => ({
    question: `Question ${n} <b>?</b>`,
    answer: `${n}`,
    output,
  });
  const right = (n: number) => item(n, `The answer is ${n}.`);
  const wrong = (n: number) => item(n, 'The answer is 77.');

  it('are compared item by item, on the screen and on a page', async () => {
    const first = written([right(1), right(2), right(3), wrong(4), wrong(5)]);
    const second = written([
      right(1),
      wrong(2),
      wrong(3),
      right(4),
      item(5, 'nothing <script>alert()</script>'),
    ]);
    const page = join(folder, 'grades.html');
    const { stdout } = await graded(first, 'math', '--against', second, '--page', page);
    expect(stdout).toContain('both 1, only the first 2, only the second 1, neither 1');
    // Mean 0.2, squares 0.6: √((0.6 − 0.04) / 4)
    expect(stdout).toContain('first less second: 20.00% ± 37.42 (paired)');
    const html = readFileSync(page, 'utf8');
    const { document } = parseHTML(html);
    const items = [...document.querySelectorAll('#items > li')];
    expect(items.map((one) => one.getAttribute('data-kinds'))).toEqual([
      'right both',
      'right first other',
      'right first other',
      'wrong second other',
      'wrong empty neither other',
    ]);
    expect(items[0]?.textContent).toContain('Question 1 <b>?</b>');
    expect(items[4]?.textContent).toContain('nothing <script>alert()</script>');
    expect(document.querySelectorAll('script')).toHaveLength(1);
    expect(document.querySelectorAll('b')).toHaveLength(0);
    expect([...document.querySelectorAll('#kind option')].map((one) => one.getAttribute('value'))).toEqual([
      ...['all', 'both', 'first', 'second', 'neither', 'other', 'empty'],
    ]);
    expect(/(?:src|href)=/.exec(html)).toBeNull();
  });

  it('of other questions are noticed', async () => {
    const { stdout } = await graded(
      written([right(1), right(2)]),
      'math',
      '--against',
      written([right(1), right(3)]),
    );
    expect(stdout).toContain('1 items have another question in the second file');
  });
});

describe('the grader', () => {
  it('ends a thread that is held up or takes too much memory, calls the item wrong and goes on', async () => {
    const grader = openGrader('math', {
      mostMs: 1500,
      script: new URL('./stuck.worker.mjs', import.meta.url),
    });
    try {
      const verdict = (output: string) => grader.verdict({ output, right: '1' });
      expect(await verdict('fine')).toMatchObject({ score: true, cut: null });
      expect(await verdict('hang')).toMatchObject({ score: false, cut: 'no verdict within 1.5 s' });
      expect(await verdict('fine')).toMatchObject({ score: true, cut: null });
      const hoard = await verdict('hoard');
      expect(hoard.score).toBe(false);
      expect(hoard.cut).toMatch(/memory|no verdict within/);
      expect(await verdict('fine')).toMatchObject({ score: true, cut: null });
    } finally {
      await grader.close();
    }
  });
});
