import type { JobSummary, Progress } from '../api/types.js';
import { brief, duration, percent } from './format.js';

/**
 * 0 to 1: the text that is done, where its size is known, else the parts. That size is what the shards' footers say,
 * which can be less than what is read; so text counts no further than one part beyond those that are done.
 */
export function shareDone({ text_bytes, text_bytes_done, parts, parts_done }: Progress): number | null {
  if (text_bytes > 0) {
    return Math.min(1, text_bytes_done / text_bytes, parts > 0 ? (parts_done + 1) / parts : 1);
  }
  if (parts > 0) return Math.min(1, parts_done / parts);
  return null;
}

/** Seconds to the stage's end; null where they are not known, or the text is longer than was reckoned. */
export const secondsLeft = ({ seconds_left, text_bytes, text_bytes_done }: Progress): number | null =>
  text_bytes > 0 && text_bytes_done >= text_bytes ? null : seconds_left;

/** Training counts steps where the other stages count parts of text. */
export const unitOf = ({ text_bytes, tokens }: Progress): 'parts' | 'steps' =>
  text_bytes === 0 && tokens > 0 ? 'steps' : 'parts';

/** "42% · 3 of 8 parts · 19,900 tokens/s · 2 min 05 s left" */
export function progressWords({ state, progress, position }: JobSummary): string {
  if (state === 'queued')
    return position === null || position <= 1 ? 'next in line' : `number ${position} in line`;
  const words: string[] = [];
  const share = shareDone(progress);
  if (progress.stage !== null && progress.stages.length > 1) {
    words.push(
      `stage ${progress.stage} (${progress.stages.indexOf(progress.stage) + 1} of ${progress.stages.length})`,
    );
  }
  if (share !== null) words.push(percent(share));
  if (progress.parts > 0) words.push(`${progress.parts_done} of ${progress.parts} ${unitOf(progress)}`);
  if (progress.tokens_per_second !== null) words.push(`${brief(progress.tokens_per_second)} tokens/s`);
  const left = secondsLeft(progress);
  if (left !== null) words.push(`${duration(left)} left`);
  return words.length === 0 ? 'starting' : words.join(' · ');
}
