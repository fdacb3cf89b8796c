/** How far a job is, folded from the lines of its log. Pure. */
import { z } from 'zod';

const count = z.int().min(0);

export const progressSchema = z
  .object({
    stage: z.string().nullable().meta({ description: 'Stage in work, or the last one that was' }),
    stages: z.array(z.string()),
    parts_done: count.meta({ description: 'Parts of the stage that are done; steps, where it trains' }),
    parts: count,
    text_bytes_done: count,
    text_bytes: count,
    tokens: count.meta({ description: 'Tokens of the stage in this attempt' }),
    tokens_per_second: z.number().nullable(),
    seconds_left: z.number().nullable().meta({ description: 'Of the stage' }),
  })
  .meta({ id: 'Progress' });
export type Progress = Readonly<z.infer<typeof progressSchema>>;

/** A line of a log, whatever is in it. */
export type LogEvent = { readonly event: string } & Readonly<Record<string, unknown>>;

export const noProgress = (stages: readonly string[]): Progress => ({
  stage: null,
  stages: [...stages],
  parts_done: 0,
  parts: 0,
  text_bytes_done: 0,
  text_bytes: 0,
  tokens: 0,
  tokens_per_second: null,
  seconds_left: null,
});

/** The progress of a stage that is over: not every kind tells of its last part. */
export const completed = (progress: Progress): Progress => ({
  ...progress,
  parts_done: progress.parts,
  text_bytes_done: progress.text_bytes,
  seconds_left: 0,
});

/** The progress after one more line. Lines of other events, and fields that are no numbers, change nothing. */
export function foldEvent(progress: Progress, event: LogEvent): Progress {
  switch (event.event) {
    case 'attempt':
      return noProgress(progress.stages);
    case 'stage':
      return typeof event['name'] === 'string'
        ? { ...noProgress(progress.stages), stage: event['name'] }
        : progress;
    case 'planned':
      return {
        ...progress,
        parts: whole(event['parts']) ?? 0,
        parts_done: whole(event['done']) ?? 0,
        text_bytes: whole(event['text_bytes']) ?? 0,
        text_bytes_done: whole(event['done_bytes']) ?? 0,
        tokens: 0,
        tokens_per_second: null,
        seconds_left: null,
      };
    case 'progress':
      return {
        ...progress,
        text_bytes_done: whole(event['text_bytes']) ?? progress.text_bytes_done,
        text_bytes: whole(event['total_text_bytes']) ?? progress.text_bytes,
        tokens: whole(event['tokens']) ?? progress.tokens,
        tokens_per_second: number(event['tokens_per_second']),
        seconds_left: number(event['seconds_left']),
      };
    case 'part-done':
      return { ...progress, parts_done: Math.min(progress.parts_done + 1, Math.max(progress.parts, 1)) };
    case 'train-planned':
      return {
        ...progress,
        parts: whole(event['steps']) ?? 0,
        parts_done: whole(event['done']) ?? 0,
      };
    case 'step':
      return trained(progress, event);
    default:
      return progress;
  }
}

function trained(progress: Progress, event: LogEvent): Progress {
  const done = whole(event['step']) ?? progress.parts_done;
  const seconds = number(event['seconds']);
  return {
    ...progress,
    parts_done: done,
    tokens: whole(event['tokens']) ?? progress.tokens,
    tokens_per_second: number(event['tokens_per_second']),
    seconds_left: seconds === null ? null : Math.max(0, progress.parts - done) * seconds,
  };
}

const number = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null;

const whole = (value: unknown): number | null => {
  const found = number(value);
  return found === null || found > Number.MAX_SAFE_INTEGER ? null : Math.round(found);
};
