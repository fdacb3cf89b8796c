/** The nine tasks of the paper's few-shot tables, and GSM-Hard: how an item of a task's file is put as a question. */
import { z } from 'zod';

/** An item as it is asked: what stands in the prompt, and the right answer as the file has it. */
export interface Asked {
  readonly question: string;
  readonly answer: string;
}

const text = z.string();
const number = z.number();

/** `Question: …` of word problems, `Problem:` and `Solution:` of the others. */
export type Frame = 'question' | 'problem';

export interface FewShotTask {
  /** The task's file below its folder. */
  readonly file: string;
  /** File of worked examples. */
  readonly examples: string;
  readonly frame: Frame;
  readonly item: z.ZodType<Asked>;
}

/** Asks for a choice's letter, and lists the choices. */
const withChoices = (question: string, choices: string): string =>
  `${question.trim()}\nWhat of the following is the right choice? Explain your answer.\n${choices}`;

const listed = (choices: readonly string[]): string =>
  choices.map((choice, index) => `(${String.fromCharCode(65 + index)}) ${choice.trim()}`).join(', ');

const capitalised = (sentence: string): string => sentence.slice(0, 1).toUpperCase() + sentence.slice(1);

/** `a ) 12 , b ) 16`, or the same as a list of Python's: the choices without their letters, said once or twice. */
function mathQaChoices(options: string): readonly string[] {
  const isList = options.startsWith('[');
  const line = isList
    ? options.replace(/^\[\s*['"]|['"]\s*\]$/g, '').replace(/['"]\s*,\s*['"](?=[a-e] \) )/g, ' , ')
    : options;
  return line.split(/(?:^| , )(?=[a-e] \) )/).flatMap((choice) => {
    const bare = choice
      .replace(/^(?:[a-e] \) )+/, '')
      .trim()
      .replaceAll(' , ', ', ');
    return bare === '' ? [] : [bare];
  });
}

/** A list of texts as Python prints it. */
const pythonList = (texts: readonly string[]): string => `[${texts.map(pythonText).join(', ')}]`;

function pythonText(one: string): string {
  const quote = one.includes("'") && !one.includes('"') ? '"' : "'";
  const escaped = one
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n')
    .replaceAll('\t', '\\t')
    .replaceAll('\r', '\\r')
    .replaceAll(quote, `\\${quote}`);
  return `${quote}${escaped}${quote}`;
}

const gsm8k = z
  .object({ question: text, answer: text })
  .transform(({ question, answer }) => ({ question, answer: (answer.split('####').at(-1) ?? '').trim() }));

const svamp = z
  .object({ Body: text, Question: text, Answer: number })
  .transform(({ Body: body, Question: question, Answer: answer }) => ({
    question: `${body.trim()}${body.trim().endsWith('.') ? '' : '.'} ${question.trim()}`,
    answer: String(answer),
  }));

/** `9 (apples)` */
const asdiv = z
  .object({ body: text, question: text, answer: text })
  .transform(({ body, question, answer }) => ({
    question: `${body.trim()} ${question.trim()}`,
    answer: answer.replace(/\(.*\)/, '').trim(),
  }));

const inputAndTarget = z
  .object({ input: text, target: number })
  .transform(({ input, target }) => ({ question: input, answer: String(target) }));

const tabmwp = z
  .object({
    question: text,
    choices: z.array(text).nullable(),
    answer: text,
    table_title: text.nullable(),
    table: text,
  })
  .transform(({ question, choices, answer, table_title: title, table }) => ({
    question: [
      `Read the following table ${title === null || title === '' ? '' : `regarding "${title}" `}and answer a question:`,
      table,
      `${question}${choices === null ? '' : ` Please select from the following options: ${pythonList(choices)}`}`,
    ].join('\n'),
    answer,
  }));

const math = z
  .object({ problem: text, solution: text.optional(), answer: text.optional() })
  .transform(({ problem, solution, answer }) => ({ question: problem, answer: answer ?? solution ?? '' }));

const mathqa = z
  .object({ problem: text, options: text, correct: text })
  .transform(({ problem, options, correct }) => ({
    question: withChoices(capitalised(problem), listed(mathQaChoices(options))),
    answer: correct.toUpperCase(),
  }));

const mmluStem = z
  .object({ question: text, choices: z.array(text).length(4), answer: z.int().min(0).max(3) })
  .transform(({ question, choices, answer }) => ({
    question: withChoices(question, listed(choices)),
    answer: String.fromCharCode(65 + answer),
  }));

/** `A) 5 B) 6`; where a letter has a full stop after it, nothing but the first bracket is put before it. */
const sat = z
  .object({ question: text, options: text, Answer: text })
  .transform(({ question, options, Answer: answer }) => ({
    question: withChoices(question, `(${options.trim().replace(/ (?=[B-G]\) )/g, ' (')}`),
    answer,
  }));

const TASKS = {
  gsm8k: { file: 'test.jsonl', examples: 'gsm8k.md', frame: 'question', item: gsm8k },
  svamp: { file: 'test.jsonl', examples: 'gsm8k.md', frame: 'question', item: svamp },
  asdiv: { file: 'test.jsonl', examples: 'gsm8k.md', frame: 'question', item: asdiv },
  mawps: { file: 'test.jsonl', examples: 'gsm8k.md', frame: 'question', item: inputAndTarget },
  tabmwp: { file: 'test1k.jsonl', examples: 'gsm8k.md', frame: 'question', item: tabmwp },
  math: { file: 'test-500.jsonl', examples: 'minerva_math.md', frame: 'problem', item: math },
  mathqa: { file: 'test.jsonl', examples: 'mathqa.md', frame: 'problem', item: mathqa },
  mmlu_stem: { file: 'test.jsonl', examples: 'mmlu_stem.md', frame: 'problem', item: mmluStem },
  sat: { file: 'test.jsonl', examples: 'mmlu_stem.md', frame: 'problem', item: sat },
  gsm_hard: { file: 'test.jsonl', examples: 'gsm8k.md', frame: 'question', item: inputAndTarget },
} as const satisfies Readonly<Record<string, FewShotTask>>;

export type FewShotTaskName = keyof typeof TASKS;
export const FEW_SHOT_TASK_NAMES = Object.keys(TASKS) as readonly FewShotTaskName[];
export const fewShotTask = (name: FewShotTaskName): FewShotTask => TASKS[name];
