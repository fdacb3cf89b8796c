import type { EventSink } from '../parts/events.js';
import { type NumberedPrompt, type ScoredPrompt, scorePrompts } from './continuations.js';
import { type Estimate, type LossSummary, lossTally, shareOf } from './estimate.js';
import type { Examinee } from './open.js';
import { choiceStyle, promptOf } from './prompts.js';
import type { BadLine, TaskFile } from './read-items.js';
import type { EvaluateSettings } from './settings.js';
import type { Item, Task } from './tasks.js';

/** What a model makes of a task. */
export interface TaskResult {
  readonly task: Task;
  readonly style: 'text' | 'letter';
  /** Items scored. */
  readonly items: number;
  /** Lines of the file that are not blank. */
  readonly lines: number;
  readonly fileSha256: string;
  readonly shots: number;
  /** Items whose context was cut at its start to fit a row. */
  readonly truncated: number;
  /** Lines set aside, by reason. */
  readonly quarantined: Readonly<Record<string, number>>;
  /** Of multiple choice; null for tasks with one answer. */
  readonly accuracy: Accuracy | null;
  /** Of the right answers' tokens, given the question. */
  readonly answers: LossSummary;
}

/** lm-evaluation-harness's three: by log-likelihood, per character (code point), per UTF-8 byte of the choice. */
export interface Accuracy {
  readonly acc: Estimate;
  readonly accNorm: Estimate;
  readonly accBytes: Estimate;
}

/**
 * Puts every item of a task's file to the model. The first `shots` good items are the worked examples of all others
 * and are not scored.
 */
export async function runTask(
  { sink, signal }: { readonly sink: EventSink; readonly signal: AbortSignal },
  task: Task,
  file: TaskFile,
  examinee: Examinee,
  settings: EvaluateSettings,
): Promise<TaskResult> {
  const style = choiceStyle(task, settings.choices);
  const quarantined: Record<string, number> = {};
  const setAside = ({ row, reason, detail }: BadLine): void => {
    quarantined[reason] = (quarantined[reason] ?? 0) + 1;
    sink({ event: 'quarantined', shard: task.name, row, rows: 1, reason, detail: `${file.path}: ${detail}` });
  };
  const most = (settings.limit ?? Number.POSITIVE_INFINITY) + settings.shots;

  async function* prompts(): AsyncGenerator<NumberedPrompt> {
    const shots: Item[] = [];
    for await (const { row, bytes, item } of file.items(most, setAside)) {
      if (shots.length < settings.shots) shots.push(item);
      else yield { row, lineBytes: bytes, prompt: promptOf(item, shots, style) };
    }
  }

  const right = { acc: 0, accNorm: 0, accBytes: 0 };
  const answers = lossTally();
  let items = 0;
  let truncated = 0;
  const refuse = (row: number, reason: 'oversized-item' | 'unspellable', detail: string): void =>
    setAside({ row, reason, detail });
  for await (const scored of scorePrompts(prompts(), examinee, file.path, refuse)) {
    signal.throwIfAborted();
    items++;
    const { continuations, prompt } = scored;
    if (continuations.some(({ dropped }) => dropped > 0)) truncated++;
    const verdict = verdictOf(scored);
    right.acc += verdict.acc;
    right.accNorm += verdict.accNorm;
    right.accBytes += verdict.accBytes;
    const own = continuations[prompt.answer];
    if (own !== undefined) answers.add({ ...own, loss: -own.logLikelihood });
    const tokens = continuations.reduce((sum, one) => sum + one.tokens, 0);
    sink({ event: 'progress', tokens, text_bytes: scored.lineBytes });
  }
  const { lines, sha256 } = file.read();
  return {
    task,
    style,
    items,
    lines,
    fileSha256: sha256,
    shots: settings.shots,
    truncated,
    quarantined,
    accuracy:
      task.kind === 'answer'
        ? null
        : {
            acc: shareOf(right.acc, items),
            accNorm: shareOf(right.accNorm, items),
            accBytes: shareOf(right.accBytes, items),
          },
    answers: answers.summary(),
  };
}

/** 1 where the right choice is the likeliest one, in each of the three ways; the first of equals counts. */
export function verdictOf({ prompt, continuations }: Pick<ScoredPrompt, 'prompt' | 'continuations'>): {
  readonly acc: 0 | 1;
  readonly accNorm: 0 | 1;
  readonly accBytes: 0 | 1;
} {
  const lengths = prompt.choices.map((choice) => ({
    characters: Array.from(choice).length,
    bytes: Buffer.byteLength(choice, 'utf8'),
  }));
  const isRight = (of: (index: number) => number): 0 | 1 => {
    const scores = continuations.map(({ logLikelihood }, index) => logLikelihood / of(index));
    const best = scores.reduce((at, score, index) => (score > (scores[at] ?? Number.NaN) ? index : at), 0);
    return best === prompt.answer ? 1 : 0;
  };
  return {
    acc: isRight(() => 1),
    accNorm: isRight((index) => lengths[index]?.characters ?? Number.NaN),
    accBytes: isRight((index) => lengths[index]?.bytes ?? Number.NaN),
  };
}
