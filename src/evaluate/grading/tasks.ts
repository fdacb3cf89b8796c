/** Tasks whose outputs can be graded: what kind of answer they have, and how a file gives the right one. */
import type { AnswerKind } from './answer.js';

export interface GradedTask {
  readonly answer: AnswerKind;
  /** `steps`: GSM8K's, after `####`; `latex`: MATH's, perhaps boxed in a solution; the answer alone; or a letter. */
  readonly right: 'steps' | 'latex' | 'plain' | 'choice';
}

const plain: GradedTask = { answer: 'expression', right: 'plain' };
const choice: GradedTask = { answer: 'choice', right: 'choice' };

const TASKS = {
  gsm8k: { answer: 'expression', right: 'steps' },
  math: { answer: 'expression', right: 'latex' },
  svamp: plain,
  asdiv: plain,
  mawps: plain,
  tabmwp: plain,
  gsm_hard: plain,
  mathqa: choice,
  mmlu_stem: choice,
  sat: choice,
  aqua: choice,
} as const satisfies Readonly<Record<string, GradedTask>>;

export type GradedTaskName = keyof typeof TASKS;
export const GRADED_TASK_NAMES = Object.keys(TASKS) as readonly GradedTaskName[];
export const gradedTask = (name: GradedTaskName): GradedTask => TASKS[name];
