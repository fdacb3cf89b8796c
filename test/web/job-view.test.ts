import { describe, expect, it } from 'vitest';
import type { JobDetail, JobState, Progress } from '../../web/src/api/types.js';
import { bytes, duration } from '../../web/src/common/format.js';
import { progressWords, shareDone } from '../../web/src/common/progress-words.js';
import { actionsOf, changeJob, LINES_KEPT, newJobView } from '../../web/src/job/job-state.js';
import { logWords } from '../../web/src/job/log-words.js';
import { planFacts } from '../../web/src/job/plan-facts.js';
import { fieldOf } from '../../web/src/jobs/refusal.js';
import { jobHref, routeOf } from '../../web/src/route.js';

const progress: Progress = {
  stage: null,
  stages: [],
  parts_done: 0,
  parts: 0,
  text_bytes_done: 0,
  text_bytes: 0,
  tokens: 0,
  tokens_per_second: null,
  seconds_left: null,
};

const jobIn = (state: JobState, part: Partial<Progress> = {}): JobDetail => ({
  id: '20261123t221500-7f3a',
  name: 'web',
  state,
  executor: 'local',
  submitted: '2026-11-23T22:15:00.000Z',
  started: null,
  ended: null,
  progress: { ...progress, ...part },
  error: null,
  position: null,
  pipeline: '',
  plan: null,
  attempts: 1,
  exit_code: null,
  totals: null,
  has_report: false,
  links: {},
});
const line = (number: number, event: Record<string, unknown> = {}) =>
  ({
    kind: 'log',
    line: { line: number, event: { event: 'note', message: String(number), ...event } },
  }) as const;

describe('what the page knows of a job', () => {
  it('is its last state, with progress that comes between', () => {
    let view = changeJob(newJobView, { kind: 'progress', progress });
    expect(view.job).toBeNull();
    view = changeJob(view, { kind: 'job', job: jobIn('running') });
    view = changeJob(view, { kind: 'progress', progress: { ...progress, parts: 4, parts_done: 1 } });
    expect(view.job?.progress.parts_done).toBe(1);
    view = changeJob(view, { kind: 'job', job: jobIn('done') });
    expect(view.job?.state).toBe('done');
  });

  it('has each line of the log once, in order, the last ones only', () => {
    let view = newJobView;
    for (const number of [1, 2, 3, 2, 3, 4]) view = changeJob(view, line(number));
    expect(view.lines.map((one) => one.line)).toEqual([1, 2, 3, 4]);
    for (let number = 5; number <= LINES_KEPT + 100; number++) view = changeJob(view, line(number));
    expect(view.lines.length).toBe(LINES_KEPT);
    expect(view.lines[0]?.line).toBe(101);
    expect(view.lines.at(-1)?.line).toBe(LINES_KEPT + 100);
  });

  it('allows what the state allows', () => {
    expect(actionsOf('running')).toEqual({ cancel: true, retry: false, remove: false });
    expect(actionsOf('queued')).toEqual({ cancel: true, retry: false, remove: true });
    expect(actionsOf('cancelling')).toEqual({ cancel: false, retry: false, remove: false });
    expect(actionsOf('failed')).toEqual({ cancel: false, retry: true, remove: true });
    expect(actionsOf('done')).toEqual({ cancel: false, retry: false, remove: true });
  });
});

describe('words', () => {
  it('of progress: by text where it is known, else by parts or steps', () => {
    expect(shareDone({ ...progress, text_bytes: 200, text_bytes_done: 50, parts: 2, parts_done: 2 })).toBe(
      0.25,
    );
    // More text than the footers said: no more than the part in work is counted, and the time left is not known.
    const more = {
      ...progress,
      text_bytes: 200,
      text_bytes_done: 300,
      parts: 8,
      parts_done: 5,
      seconds_left: 0,
    };
    expect(shareDone(more)).toBe(0.75);
    expect(progressWords(jobIn('running', more))).toBe('75% · 5 of 8 parts');
    expect(shareDone({ ...progress, parts: 4, parts_done: 1 })).toBe(0.25);
    expect(shareDone(progress)).toBeNull();
    expect(
      progressWords(
        jobIn('running', {
          stage: 'score',
          stages: ['pack', 'score'],
          text_bytes: 200,
          text_bytes_done: 50,
          parts: 8,
          parts_done: 2,
          tokens_per_second: 19_937,
          seconds_left: 125,
        }),
      ),
    ).toBe('stage score (2 of 2) · 25% · 2 of 8 parts · 19.9K tokens/s · 2 min 05 s left');
    expect(progressWords(jobIn('running', { parts: 40, parts_done: 10, tokens: 5000 }))).toBe(
      '25% · 10 of 40 steps',
    );
    expect(progressWords(jobIn('running'))).toBe('starting');
    expect(progressWords({ ...jobIn('queued'), position: 3 })).toBe('number 3 in line');
  });

  it('of sizes and times', () => {
    expect([0, 999, 1024, 1_500_000, 5e12].map(bytes)).toEqual([
      '0 B',
      '999 B',
      '1.0 KiB',
      '1.4 MiB',
      '4.5 TiB',
    ]);
    expect([0, 0.4, 59.6, 3599, 7261, 90_000, 190_000].map(duration)).toEqual([
      '0 s',
      '< 1 s',
      '1 min 00 s',
      '59 min 59 s',
      '2 h 1 min',
      '1 day 1 h',
      '2 days 4 h',
    ]);
  });

  it('of the log: those of known events, and every field of others', () => {
    const words = (event: { event: string; [field: string]: unknown }) => logWords({ line: 1, event });
    expect(
      words({
        time: 'now',
        event: 'part-done',
        shard: 'a.parquet',
        part: 2,
        tokens: 12_000,
        documents: 3,
        seconds: 4,
      }),
    ).toBe('done a.parquet part 2: 12K tokens, 4 s');
    expect(words({ event: 'text', message: 'kept 714k' })).toBe('kept 714k');
    expect(words({ event: 'checkpoint', step: 20, path: 'x/y' })).toBe('checkpoint step 20, path x/y');
    expect(words({ event: 'quarantined', shard: 'a', row: 3, reason: 'no-text' })).toBe(
      'set aside: shard a, row 3, reason no-text',
    );
  });

  it('of a plan: only the sums that it has', () => {
    expect(planFacts({ cost: { shards: 3, tokens: 452_497, seconds: 17.1, totalFlops: 1 } })).toEqual([
      ['Shards', '3'],
      ['Tokens, about', '452K'],
      ['Time, about', '17 s'],
    ]);
    expect(planFacts({ stages: [] })).toEqual([]);
  });

  it('of a refusal stand at the field they are about', () => {
    expect(fieldOf('name: expected a name without control characters')).toBe('name');
    expect(fieldOf('pipeline.yaml: sequence.length: expected a number')).toBe('pipeline');
  });
});

describe('addresses', () => {
  it('name a view, and unknown ones none', () => {
    expect(routeOf('')).toEqual({ page: 'jobs' });
    expect(routeOf('#/jobs/')).toEqual({ page: 'jobs' });
    expect(routeOf('#/playground')).toEqual({ page: 'playground' });
    expect(routeOf(jobHref('20261123t221500-7f3a'))).toEqual({ page: 'job', id: '20261123t221500-7f3a' });
    expect(routeOf('#/jobs/a/b')).toEqual({ page: 'unknown' });
    expect(routeOf('#/jobs/%E0%A4%A')).toEqual({ page: 'unknown' });
  });
});
