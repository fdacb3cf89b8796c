/** One item: what it answered, and whether that is right. */
import { answerOf } from './answer.js';
import { areEqual } from './equality.js';
import { normalForm } from './normal-form.js';
import type { OutputRecord } from './records.js';
import type { GradedTask } from './tasks.js';

export interface Verdict {
  /** The output's answer in its normal form; empty where it gives none. */
  readonly extracted: string;
  /** The right answer in its normal form. */
  readonly right: string;
  readonly score: boolean;
}

export function verdictOn(
  { output, right }: Pick<OutputRecord, 'output' | 'right'>,
  task: GradedTask,
): Verdict {
  const given = normalForm(answerOf(output, task.answer));
  const wanted = normalForm(right);
  return { extracted: given, right: wanted, score: areEqual(given, wanted) };
}
