/** Two models on the same items: who solved what. */
import type { Estimate } from '../estimate.js';
import type { GradedItem } from './grade-file.js';

/** An item as one model answered it, and the other where there is one. */
export interface PairedItem {
  readonly own: GradedItem;
  readonly other: GradedItem | null;
}

export interface Comparison {
  /** Items that both files have, by line. */
  readonly items: number;
  readonly both: number;
  readonly onlyOwn: number;
  readonly onlyOther: number;
  readonly neither: number;
  /** Accuracy of the first less the second's, over the same items: the error is the paired one. */
  readonly difference: Estimate;
  /** Items whose questions differ: these files may not be of one task, or ask it in two ways. */
  readonly otherQuestions: number;
}

/** Items by line; what only the second file has is left out. */
export function pairsOf(
  own: readonly GradedItem[],
  other: readonly GradedItem[] | null,
): readonly PairedItem[] {
  const byLine = new Map((other ?? []).map((item) => [item.line, item]));
  return own.map((item) => ({ own: item, other: byLine.get(item.line) ?? null }));
}

export function compared(own: readonly GradedItem[], other: readonly GradedItem[]): Comparison {
  const counts = { items: 0, both: 0, onlyOwn: 0, onlyOther: 0, neither: 0, otherQuestions: 0 };
  for (const pair of pairsOf(own, other)) {
    if (pair.other === null) continue;
    counts.items++;
    const [a, b] = [pair.own.score, pair.other.score];
    counts[a && b ? 'both' : a ? 'onlyOwn' : b ? 'onlyOther' : 'neither']++;
    if (pair.own.question.trim() !== pair.other.question.trim()) counts.otherQuestions++;
  }
  return { ...counts, difference: differenceOf(counts) };
}

/** Mean of 1, 0 and −1 over items: sample deviation / √n. */
function differenceOf({
  items,
  onlyOwn,
  onlyOther,
}: Pick<Comparison, 'items' | 'onlyOwn' | 'onlyOther'>): Estimate {
  if (items === 0) return { value: null, stderr: null };
  const value = (onlyOwn - onlyOther) / items;
  if (items < 2) return { value, stderr: null };
  const squares = (onlyOwn + onlyOther) / items - value * value;
  return { value, stderr: Math.sqrt(Math.max(0, squares) / (items - 1)) };
}
