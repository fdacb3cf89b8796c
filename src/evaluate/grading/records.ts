/**
 * Lines of files with outputs, as the programs that make them write them, brought to one form: a question, what the
 * model wrote, the right answer. Verdicts that a file holds (`score`, `pred`, `report`, `exact_match`) are not read.
 */
import { boxed } from './answer.js';
import type { GradedTask } from './tasks.js';

export interface OutputRecord {
  /** Empty where the file has none. */
  readonly question: string;
  readonly output: string;
  /** As the file has it, worked steps taken off. */
  readonly right: string;
}

/** The record in a line's value, or in words why there is none. */
export function recordOf(value: unknown, task: GradedTask): OutputRecord | string {
  if (!isObject(value)) return `the line holds ${kindOf(value)}, expected an object`;
  const output = outputOf(value);
  if (output === null)
    return `none of ${OUTPUT_FIELDS.join(', ')} holds a text; expected what the model wrote in one of them`;
  const right = rightOf(value, task);
  if (right === null)
    return `none of ${RIGHT_FIELDS[task.right].join(', ')} holds an answer; expected the right answer in one of them`;
  return { question: questionOf(value), output, right };
}

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const kindOf = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;

/**
 * `code` of math-evaluation-harness, `output` of ours, `outputs` of vLLM (`[{text}]`), `resps` of lm-evaluation-harness
 * (`[[text]]`, unfiltered: its filters are an extraction of their own), `response` of a batch sent to an
 * OpenAI-compatible server.
 */
const OUTPUT_FIELDS = [
  'code',
  'output',
  'outputs',
  'resps',
  'response',
  'generated_text',
  'completion',
] as const;

function outputOf(fields: Fields): string | null {
  for (const name of OUTPUT_FIELDS) {
    const text = textIn(fields[name], 0);
    if (text !== null) return text;
  }
  return null;
}

/** The first text in lists of texts and the objects that servers put around them. */
function textIn(value: unknown, depth: number): string | null {
  if (typeof value === 'string') return value;
  if (depth > 6) return null;
  if (Array.isArray(value)) return value.length === 0 ? null : textIn(value[0], depth + 1);
  if (!isObject(value)) return null;
  for (const name of ['text', 'content', 'message', 'body', 'choices']) {
    const text = textIn(value[name], depth + 1);
    if (text !== null) return text;
  }
  return null;
}

/** Where right answers stand, in the order in which they are looked for. The raw answer says more than a normal form of it. */
const RIGHT_FIELDS = {
  steps: ['answer', 'target', 'gt', 'doc.answer'],
  latex: ['answer', 'target', 'gt', 'solution', 'doc.answer', 'doc.solution'],
  plain: ['gt', 'target', 'answer', 'Answer', 'doc.answer'],
  choice: ['gt', 'target', 'answer', 'correct', 'Answer', 'doc.answer'],
} as const;

function rightOf(fields: Fields, { right }: GradedTask): string | null {
  for (const name of RIGHT_FIELDS[right]) {
    const holder = name.startsWith('doc.') ? fields['doc'] : fields;
    const value = isObject(holder) ? holder[name.replace('doc.', '')] : undefined;
    const text = answerText(value);
    if (text === null || text.trim() === '') continue;
    if (right === 'steps')
      return text.slice(text.lastIndexOf(STEPS_END) + (text.includes(STEPS_END) ? 4 : 0)).trim();
    if (right === 'latex') return text.includes('\\boxed') ? (boxed(text) ?? text) : text;
    if (right === 'choice' && /^\d$/.test(text)) return String.fromCharCode(65 + Number(text));
    return text;
  }
  return null;
}

/** Ends the worked steps of GSM8K's answers. */
const STEPS_END = '####';

function answerText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return Array.isArray(value) && value.length > 0 ? answerText(value[0]) : null;
}

function questionOf(fields: Fields): string {
  const doc = isObject(fields['doc']) ? fields['doc'] : {};
  for (const value of [
    fields['question'],
    fields['problem'],
    doc['question'],
    doc['problem'],
    fields['prompt'],
  ])
    if (typeof value === 'string') return value;
  return '';
}
