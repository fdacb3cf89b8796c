/**
 * The tasks: how a line of each file becomes a question and its answers. Prompts are lm-evaluation-harness's where it
 * has the task in this form (mathqa, mmlu_stem, gsm8k); docs/evaluation.md lists them all.
 */
import { z } from 'zod';
import { lettered, mathqaOptions } from './options.js';

export const TASK_NAMES = ['mathqa', 'mmlu_stem', 'aqua', 'sat', 'gsm8k', 'svamp'] as const;
export type TaskName = (typeof TASK_NAMES)[number];

/** A line of a task's file, whatever the task. */
export interface Item {
  /** Said before the worked examples; empty for most tasks. */
  readonly description: string;
  readonly question: string;
  /** Text before the question. */
  readonly label: string;
  /** The options, or the one answer. */
  readonly choices: readonly string[];
  /** Index of the right one. */
  readonly answer: number;
}

export interface Task {
  readonly name: TaskName;
  /** `choice`: which of several continuations is likeliest. `answer`: how likely the one answer is. */
  readonly kind: 'choice' | 'answer';
  /** What a choice is unless a setting says otherwise. */
  readonly choices: 'text' | 'letter';
  /** Raised by hand when the task's prompts change. */
  readonly version: number;
  /** A parsed line of the file to an item. */
  readonly item: z.ZodType<Item>;
}

/** Longest text of a field, in UTF-16 code units: option lists are searched, and a prompt must fit a model. */
const text = z
  .string()
  .max(1 << 16)
  .refine((value) => value.trim() !== '', { message: 'expected a text that is not blank' });

/** Letter to index, in either case. */
const letter = z
  .string()
  .regex(/^[A-Ea-e]$/, { message: 'expected a letter from A to E' })
  .transform((value) => value.toUpperCase().charCodeAt(0) - 65);

/** An item whose right answer is among its options. */
const checked = <T extends z.ZodType<Item>>(item: T) =>
  item
    .refine(({ choices }) => choices.length >= 2 && choices.every((choice) => choice.trim() !== ''), {
      path: ['options'],
      message: 'expected two or more options, none of them empty',
    })
    .refine(({ choices, answer }) => answer < choices.length, {
      path: ['answer'],
      message: 'the right answer is none of the options',
    });

const plain = { description: '', label: 'Question: ' } as const;

const mathqa = z.object({ problem: text, options: text, correct: letter }).transform(
  ({ problem, options, correct }): Item => ({
    ...plain,
    question: problem,
    choices: mathqaOptions(options),
    answer: correct,
  }),
);

const mmlu = z
  .object({ question: text, type: text, choices: z.array(text).max(26), answer: z.int().min(0) })
  .transform(
    ({ question, type, choices, answer }): Item => ({
      description: `The following are multiple choice questions (with answers) about ${type.replaceAll('_', ' ')}.\n\n`,
      label: '',
      question: question.trim(),
      choices,
      answer,
    }),
  );

const aqua = z.object({ question: text, options: z.array(text).max(26), correct: letter }).transform(
  ({ question, options, correct }): Item => ({
    ...plain,
    question,
    choices: options.map((option) => option.replace(/^[A-Z]\s*\)\s*/, '').trim()),
    answer: correct,
  }),
);

const sat = z.object({ question: text, options: text, Answer: letter }).transform(
  ({ question, options, Answer }): Item => ({
    ...plain,
    question,
    choices: lettered(options),
    answer: Answer,
  }),
);

const gsm8k = z
  .object({ question: text, answer: text })
  .transform(({ question, answer }): Item => ({ ...plain, question, choices: [answer], answer: 0 }));

const svamp = z
  .object({ Body: text, Question: text, Answer: z.union([z.number(), text]) })
  .transform(({ Body, Question, Answer }): Item => {
    const body = Body.trim();
    return {
      ...plain,
      question: `${body}${/[.?!,;:]$/.test(body) ? '' : ','} ${Question.trim()}`,
      choices: [String(Answer)],
      answer: 0,
    };
  });

const choice = (name: TaskName, choices: Task['choices'], item: z.ZodType<Item>): Task => ({
  name,
  kind: 'choice',
  choices,
  version: 1,
  item: checked(item),
});
const answer = (name: TaskName, item: z.ZodType<Item>): Task => ({
  name,
  kind: 'answer',
  choices: 'text',
  version: 1,
  item,
});

export const TASKS: Readonly<Record<TaskName, Task>> = {
  mathqa: choice('mathqa', 'text', mathqa),
  mmlu_stem: choice('mmlu_stem', 'letter', mmlu),
  aqua: choice('aqua', 'text', aqua),
  sat: choice('sat', 'text', sat),
  gsm8k: answer('gsm8k', gsm8k),
  svamp: answer('svamp', svamp),
};
