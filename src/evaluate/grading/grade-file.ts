/** A file of outputs graded: how many are right, and a line of verdict for each. */
import type { EventSink, ItemReason } from '../../parts/events.js';
import type { StagedFile, Storage } from '../../storage/storage.js';
import { type Estimate, shareOf } from '../estimate.js';
import { readRecords } from '../read-records.js';
import { openGrader } from './grader.js';
import { recordOf } from './records.js';
import { type GradedTaskName, gradedTask } from './tasks.js';

/** One graded item. */
export interface GradedItem {
  /** Line of the file, from 0. */
  readonly line: number;
  readonly question: string;
  readonly output: string;
  /** The right answer as the file has it. */
  readonly answer: string;
  /** What the output answers, in normal form. */
  readonly extracted: string;
  readonly score: boolean;
  /** Why the rules gave no verdict. */
  readonly cut: string | null;
}

export interface FileGrades {
  readonly path: string;
  readonly task: GradedTaskName;
  readonly items: number;
  readonly right: number;
  /** Outputs in which no answer was found; they are wrong. */
  readonly withoutAnswer: number;
  /** Items that took too long or too much memory; they are wrong. */
  readonly cut: number;
  readonly accuracy: Estimate;
  /** Lines set aside, by reason. */
  readonly quarantined: Readonly<Record<string, number>>;
}

export interface GradeOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/**
 * Grades every line of a file, in order.
 * @param out where verdicts go, a line an item; a line that is set aside has `error` instead
 * @param seen is given every graded item
 * @throws errors of the disk
 */
export async function gradeFile(
  path: string,
  task: GradedTaskName,
  { storage, sink, signal }: GradeOptions,
  { out, seen }: { readonly out?: StagedFile; readonly seen?: (item: GradedItem) => void } = {},
): Promise<FileGrades> {
  const grader = openGrader(task);
  const quarantined: Record<string, number> = {};
  const totals = { items: 0, right: 0, withoutAnswer: 0, cut: 0 };
  const setAside = (line: number, reason: Reason, detail: string): void => {
    quarantined[reason] = (quarantined[reason] ?? 0) + 1;
    sink({ event: 'quarantined', shard: path, row: line, rows: 1, reason, detail });
  };
  try {
    for await (const read of readRecords(storage, path, (value) => recordOf(value, gradedTask(task)))) {
      signal.throwIfAborted();
      sink({ event: 'progress', tokens: 0, text_bytes: read.bytes });
      if ('reason' in read) {
        const { line, reason, detail } = read;
        setAside(line, reason, detail);
        await out?.write(lineOf({ line, error: `${reason}: ${detail}` }));
        continue;
      }
      const { line, record } = read;
      const { extracted, score, cut } = await grader.verdict(record);
      const { question, output, right: answer } = record;
      totals.items++;
      if (score) totals.right++;
      if (cut !== null) {
        totals.cut++;
        sink({ event: 'warning', message: `${path}: line ${line}: graded wrong: ${cut}` });
      } else if (extracted === '') totals.withoutAnswer++;
      seen?.({ line, question, output, answer, extracted, score, cut });
      await out?.write(
        lineOf({ line, question, output, answer, extracted, score, ...(cut !== null && { cut }) }),
      );
    }
    return { path, task, ...totals, accuracy: shareOf(totals.right, totals.items), quarantined };
  } finally {
    await grader.close();
  }
}

type Reason = 'bad-json' | 'not-unicode' | 'broken-shard' | ItemReason;

const lineOf = (value: unknown): Uint8Array => Buffer.from(`${JSON.stringify(value)}\n`, 'utf8');
