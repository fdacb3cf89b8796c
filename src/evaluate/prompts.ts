/** From items to what the model is asked: a context, and continuations whose likelihood counts. */
import type { Item, Task } from './tasks.js';

/** One question as it is put to the model. */
export interface Prompt {
  readonly context: string;
  /** Choices without the space that parts them from the context. */
  readonly choices: readonly string[];
  readonly answer: number;
}

/** Between a context and its continuation, and between worked examples, as lm-evaluation-harness has them. */
export const TARGET_DELIMITER = ' ';
export const SHOT_DELIMITER = '\n\n';

const letterOf = (index: number): string => String.fromCharCode(65 + index);

/** Whether choices are scored as letters or as texts. */
export const choiceStyle = (task: Task, wanted: 'task' | 'text' | 'letter'): 'text' | 'letter' =>
  wanted === 'task' || task.kind === 'answer' ? task.choices : wanted;

/**
 * `Question: …\nAnswer:`; with letters the options stand between, `A. …` each on a line. MMLU with letters is asked
 * as in the harness's `mmlu`, with its description and without the label; with texts as in `mmlu_continuation`.
 */
function ask(item: Item, style: 'text' | 'letter'): string {
  if (style === 'text') return `Question: ${item.question}\nAnswer:`;
  const options = item.choices.map((choice, index) => `\n${letterOf(index)}. ${choice}`).join('');
  return `${item.label}${item.question}${options}\nAnswer:`;
}

const choicesOf = (item: Item, style: 'text' | 'letter'): readonly string[] =>
  style === 'text' ? item.choices : item.choices.map((_, index) => letterOf(index));

/** The prompt of an item after worked examples. */
export function promptOf(item: Item, shots: readonly Item[], style: 'text' | 'letter'): Prompt {
  const examples = shots.map((shot) => {
    const target = choicesOf(shot, style)[shot.answer] ?? '';
    return `${ask(shot, style)}${TARGET_DELIMITER}${target}${SHOT_DELIMITER}`;
  });
  const description = style === 'letter' ? item.description : '';
  return {
    context: `${description}${examples.join('')}${ask(item, style)}`,
    choices: choicesOf(item, style),
    answer: item.answer,
  };
}
