import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { answerOf } from '#tokensieve/evaluate/grading/answer.js';
import { areEqual } from '#tokensieve/evaluate/grading/equality.js';
import { normalForm } from '#tokensieve/evaluate/grading/normal-form.js';

const same = (a: string, b: string): boolean => areEqual(normalForm(a), normalForm(b));

describe('the answer out of an output', () => {
  it.each([
    ['…so $3+4=7$. The final answer is $7$. I hope it is correct.', '7'],
    ['It is \\boxed{3} or rather $\\boxed{\\frac{1}{\\sqrt{2}}}$.', '\\frac{1}{\\sqrt{2}}'],
    ['The final answer is $x$. I hope so, but \\boxed{5}', 'x'],
    ['we get $\\boxed 5$ apples', '5'],
    ['an open one \\boxed{1+{2}', '1+{2}'],
    ['The answer is 4. No, the answer is 5.', '5'],
    ['the answer is: 12/', '12'],
    ['Thus Answer is 9, as 3 + 6 = 9', '9'],
    ['so 1,200 and then 3,400 dollars', '3400'],
    ['-0.5 or .25', '.25'],
    ['The answer is\n\n18', '18'],
    ['```python\nprint(6*7)\n```\n```output\n42\n```\nIt is $\\boxed{42}$.', '42'],
    ['```python\nprint(6*7)\n```\n```output\n42\n```\n', '42'],
    ['nothing to see', ''],
    ['', ''],
  ])('%s', (output, answer) => expect(answerOf(output, 'expression')).toBe(answer));

  it.each([
    ['so the answer is (B).', 'B'],
    ['The answer is: c', 'C'],
    ['The answer is D\n\nProblem: another one. The answer is A', 'D'],
    ['The answer is eleven', ''],
    ['(A) looks right', ''],
  ])('a letter: %s', (output, answer) => expect(answerOf(output, 'choice')).toBe(answer));
});

describe('the normal form', () => {
  it.each([
    ['\\dfrac12', '\\frac{1}{2}'],
    ['\\tfrac{1}2', '\\frac{1}{2}'],
    ['\\frac 59', '\\frac{5}{9}'],
    ['-3/4', '-\\frac{3}{4}'],
    ['\\sqrt3', '\\sqrt{3}'],
    ['2\\sqrt x', '2\\sqrt{x}'],
    ['$\\$32,\\!348$', '32,348'],
    ['30\\%', '30'],
    ['90^\\circ', '90'],
    ['45^{\\circ}', '45'],
    ['5.4 \\text{ cents}', '5.4'],
    ['15\\mbox{ cm}^2', '15'],
    ['\\text{(C)}', '(C)'],
    ['\\text{Evelyn}', 'Evelyn'],
    ['18 eggs per day', '18'],
    ['12 sq. ft', '12'],
    ['3 dollars.', '3'],
    ['x = 5', '5'],
    ['f(x) = x + 1', 'x+1'],
    ['x \\in [-2,7]', '[-2,7]'],
    ['\\left( 3, \\frac{\\pi}{2} \\right)', '(3,\\frac{\\pi}{2})'],
    ['\\begin{bmatrix}1 & 2\\\\ 3 & 4\\end{bmatrix}', '\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}'],
    ['\\begin{array}{cc} 1 & 2 \\\\ \\end{array}', '\\begin{pmatrix}1&2\\end{pmatrix}'],
    ['4210_{5}', '4210_5'],
    ['x^{2}', 'x^2'],
    ['5.00', '5'],
    ['.5', '0.5'],
    ['0.50', '0.5'],
    ['twenty-one', '21'],
    ['Seven', '7'],
    ['3\\\\sqrt{13}', '3\\sqrt{13}'],
    ['19 \\text{ and } 43', '19,43'],
    ['π/2', '\\pi/2'],
    ['minutes', 'minutes'],
    ['\\cot x', '\\cot x'],
  ])('%s is %s', (answer, form) => expect(normalForm(answer)).toBe(form));

  const pieces = fc.array(
    fc.constantFrom(
      ...[
        '\\frac',
        '\\dfrac',
        '\\sqrt',
        '{',
        '}',
        '(',
        ')',
        '[',
        ']',
        '1',
        '23',
        '.',
        ',',
        '-',
        '+',
        '/',
        '^',
        '_',
        '=',
        ' ',
      ],
      ...[
        'x',
        'cm',
        ' eggs',
        '\\text{',
        '\\pi',
        '\\left',
        '\\right',
        '\\\\',
        '\\',
        '$',
        '%',
        '\\!',
        ' and ',
        '\\circ',
        'two',
        '5.0',
      ],
      ...[
        '\\begin{pmatrix}',
        '\\end{pmatrix}',
        '&',
        '\\{',
        '\\}',
        '\\cup',
        '\\in',
        '\\pm',
        '0',
        '½',
        '√',
        '∞',
        '\n',
        '`',
        '**',
      ],
    ),
    { maxLength: 24 },
  );

  it('of a normal form is the same again', () => {
    fc.assert(
      fc.property(pieces, (list) => {
        const form = normalForm(list.join(''));
        expect(normalForm(form)).toBe(form);
      }),
      { numRuns: 2000 },
    );
  });

  it('equality asked the other way round says the same, and every answer equals itself', () => {
    fc.assert(
      fc.property(pieces, pieces, (one, other) => {
        const [a, b] = [normalForm(one.join('')), normalForm(other.join(''))];
        expect(areEqual(a, b)).toBe(areEqual(b, a));
        expect(areEqual(a, a)).toBe(a !== '');
      }),
      { numRuns: 1000 },
    );
  });
});

describe('equality', () => {
  it.each([
    ['1/2', '0.5'],
    ['\\frac{2}{8}', '\\frac14'],
    ['10,080', '10080'],
    ['75', '7500'],
    ['0.25', '25\\%'],
    ['326.53', '326.5'],
    ['1\\frac{4}{5}', '9/5'],
    ['2^{10}', '1024'],
    ['1000(26)', '26000'],
    ['\\frac{\\sqrt{3}}{3}', '\\frac{1}{\\sqrt{3}}'],
    ['2\\sqrt{141-20\\sqrt{41}}+2\\sqrt{20\\sqrt{41}+141}', '40'],
    ['(28-140*sqrt(5))*(-5*sqrt(5)/2-1/2)', '1736'],
    ['-\\tan(4\\pi/9)+4\\cos(\\pi/18)', '-\\sqrt{3}'],
    ['\\sqrt[3]{8}', '2'],
    ['\\log_2 8', '3'],
    ['\\sin^2 x + \\cos^2 x', '1'],
    ['\\sin 2x', '2\\sin x\\cos x'],
    ['\\binom{5}{2}', '10'],
    ['5!', '120'],
    ['|{-3}|', '3'],
    ['e^{i\\pi}', '-1'],
    ['3-13x', '-13x+3'],
    ['(x+1)^2', 'x^2+2x+1'],
    ['x**2 - 1', '(x-1)(x+1)'],
    ['\\frac{9a+11}{20}', '\\frac{11+9a}{20}'],
    ['\\frac{1}{x-1}-\\frac{1}{x+1}', '\\frac{2}{x^2-1}'],
    ['3\\pi x', '\\pi*3*x'],
    ['\\cot x', 'cot(x)'],
    ['C', '\\text{(C)}'],
    ['East', '\\text{east}'],
    ['(3,\\frac{\\pi}{2})', '(3,\\pi/2)'],
    ['(1/5, 0.5)', '(\\frac15,\\frac12)'],
    ['1,-2', '-2,1'],
    ['x=1, x=-2', '-2,1'],
    ['\\{1, 2\\}', '2,1'],
    ['1\\pm\\sqrt{19}', '1-\\sqrt{19},1+\\sqrt{19}'],
    ['(-\\infty,3)\\cup(3,\\infty)', '(3,\\infty)\\cup(-\\infty,3)'],
    ['\\begin{pmatrix}1/5\\\\-18/5\\end{pmatrix}', '\\begin{bmatrix}0.2\\\\-3.6\\end{bmatrix}'],
    ['x+y=3', '3=x+y'],
    ['2x-y=1', 'y-2x=-1'],
    ['x<5', '5>x'],
    ['2\\le x\\le 7', '7\\geq x\\geq 2'],
    ['y=2x+3', '2x+3'],
    ['2516_{8}', '2516_8'],
    ['1:2', '1:2'],
    ['0', '\\sin(\\pi)'],
    ['-\\frac{1}{2}', '\\frac{-1}{2}'],
    ['2\\sqrt{3}i', '2i\\sqrt{3}'],
    ['x_1+x_2', 'x_2+x_1'],
  ])('%s is %s', (a, b) => {
    expect(same(a, b)).toBe(true);
    expect(same(b, a)).toBe(true);
  });

  it.each([
    ['1', '2'],
    ['5', '5.1'],
    ['0', '0.00001'],
    ['1', '1,-2'],
    ['(0,1)', '[0,1]'],
    ['(0,1)', '[0,1)'],
    ['(1,2)', '(2,1)'],
    ['(1,2)', '\\{1,2\\}'],
    ['(1,2)', '(1,2,3)'],
    ['(-\\infty,0)', '(-\\infty,0]'],
    ['x^2', 'x^3'],
    ['\\sqrt{x^2}', 'x'],
    ['\\frac{1}{2}', '\\frac{1}{3}'],
    ['(A)', '(B)'],
    ['A', '(B)'],
    ['even', 'odd'],
    ['\\begin{pmatrix}1\\\\2\\end{pmatrix}', '\\begin{pmatrix}1&2\\end{pmatrix}'],
    ['x+y=3', 'x+y=4'],
    ['x<5', 'x>5'],
    ['x<5', 'x\\le 5'],
    ['2516_8', '2516'],
    ['2x', '3x'],
    ['x', 'y'],
    ['1,1,2', '1,2,2'],
    ['', ''],
    ['5', ''],
  ])('%s is not %s', (a, b) => {
    expect(same(a, b)).toBe(false);
    expect(same(b, a)).toBe(false);
  });
});

describe('hostile answers', () => {
  const HOSTILE: Readonly<Record<string, string>> = {
    'a tower of powers': '10^10^10',
    'a taller tower': Array(400).fill('9').join('^'),
    'a million open braces': '{'.repeat(1e6),
    'a million nested braces': `${'{'.repeat(5e5)}1${'}'.repeat(5e5)}`,
    'closing braces': '}'.repeat(1e5),
    'nested fractions': '\\frac{'.repeat(2e4) + '1}{2}'.repeat(2e4),
    'nested roots': `${'\\sqrt{'.repeat(500)}2${'}'.repeat(500)}`,
    'an exponent bomb': `${'('.repeat(60)}x+1${')^{99}'.repeat(60)}`,
    'factorials of factorials': `9${'!'.repeat(1000)}`,
    'a huge matrix': `\\begin{pmatrix}${Array(2000).fill('1&2').join('\\\\')}\\end{pmatrix}`,
    'a long list': Array(5000).fill('1').join(','),
    'a list of lists': '(1,'.repeat(300),
    'a number of a million digits': '7'.repeat(1e6),
    'white space': `5${' '.repeat(1e6)}6`,
    'words and words': `5 ${'eggs '.repeat(1e5)}`,
    letters: 'a'.repeat(4000),
    slashes: '\\'.repeat(1e5),
    'text in text': '\\text{'.repeat(5e4),
    signs: '-'.repeat(4000),
    bars: '|'.repeat(3000),
    unions: '\\cup'.repeat(1000),
    'plus-minus': '1\\pm'.repeat(900),
    commas: ','.repeat(4000),
    'equal signs': '='.repeat(4000),
    'every plane of unicode': '𝟙𝟚\u202e٣₄\ud800\0\u0301é漢',
  };

  it.each(Object.entries(HOSTILE))('%s ends soon, alone and boxed', (_, answer) => {
    const started = performance.now();
    const form = normalForm(answerOf(`\\boxed{${answer}}`, 'expression'));
    for (const other of ['1', 'x', '(1,2)', '\\begin{pmatrix}1\\end{pmatrix}', 'x=1', form, `${form}+0`]) {
      areEqual(form, normalForm(other));
      areEqual(normalForm(other), form);
    }
    expect(areEqual(form, '1')).toBe(false);
    // A bound of the machine's worst day; it takes milliseconds.
    expect(performance.now() - started).toBeLessThan(2500);
  });
});
