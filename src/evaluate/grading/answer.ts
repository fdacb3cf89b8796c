/** The answer out of what a model wrote. Every function is linear in the text, whatever stands in it. */

/** What kind of answer a task has: a letter of the given choices, or an expression. */
export type AnswerKind = 'choice' | 'expression';

/** The answer that an output gives, in the model's own writing; empty where it gives none. */
export const answerOf = (output: string, kind: AnswerKind): string =>
  kind === 'choice' ? choiceOf(output) : tidied(expressionOf(output));

/** The letter after "answer is" in the output's own problem: a model that goes on asks itself the next one. */
function choiceOf(output: string): string {
  const own = output.split('Problem:', 1)[0] ?? '';
  const letter = /answer is:?\s{0,8}\$?\(?([a-e])(?![a-z])/i.exec(own)?.[1];
  return letter?.toUpperCase() ?? '';
}

/** The first way that applies: framed, boxed, announced, or the last number there is. */
function expressionOf(output: string): string {
  return (
    framed(output) ??
    boxed(output) ??
    after(output, 'he answer is') ??
    after(output, 'final answer is') ??
    lastNumber(output) ??
    ''
  );
}

/** Between the frame that four worked examples of MATH teach: `final answer is $…$. I hope`. */
function framed(output: string): string | null {
  const start = output.indexOf(FRAME_START);
  if (start < 0) return null;
  const end = output.indexOf(FRAME_END, start + FRAME_START.length);
  return end < 0 ? null : output.slice(start + FRAME_START.length, end);
}

const FRAME_START = 'final answer is $';
const FRAME_END = '$. I hope';

/** In the last `\boxed{…}`; to the end where its braces are not balanced; to the next dollar where it has none. */
export function boxed(output: string): string | null {
  const start = output.lastIndexOf('boxed');
  if (start < 0) return null;
  const rest = output.slice(start + 'boxed'.length).trimStart();
  if (!rest.startsWith('{')) return rest.split('$', 1)[0]?.trim() ?? '';
  let depth = 0;
  for (let at = 0; at < rest.length; at++) {
    const code = rest.charCodeAt(at);
    if (code === OPEN) depth++;
    else if (code === CLOSE && --depth === 0) return rest.slice(1, at);
  }
  return rest.slice(1);
}

const OPEN = 0x7b;
const CLOSE = 0x7d;

function after(output: string, words: string): string | null {
  const start = output.lastIndexOf(words);
  return start < 0 ? null : output.slice(start + words.length);
}

const lastNumber = (output: string): string | null =>
  output
    .replaceAll(',', '')
    .match(/-?\d*\.?\d+/g)
    ?.at(-1) ?? null;

/** On one line, without the colon before and the full stop and slash after. */
const tidied = (answer: string): string =>
  answer
    .replace(/[\r\n]+[ \t]*/g, '')
    .trim()
    .replace(/^:/, '')
    .replace(/\.$/, '')
    .replace(/\/$/, '')
    .trim();
