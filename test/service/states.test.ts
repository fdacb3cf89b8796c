import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JOB_ID, nextJobId } from '#tokensieve/service/jobs/job-id.js';
import {
  isActive,
  isFinal,
  JOB_STATES,
  type JobAction,
  type JobState,
  nextState,
} from '#tokensieve/service/jobs/lifecycle.js';
import {
  emptyQueue,
  enqueue,
  handBack,
  leave,
  positionOf,
  type Queue,
  startNext,
} from '#tokensieve/service/jobs/queue.js';
import { byQueueOrder, inState, newRecord } from '#tokensieve/service/jobs/record.js';

const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
const step = fc.oneof(
  fc.record({ kind: fc.constant('submit' as const), id: fc.constantFrom(...ids) }),
  fc.record({ kind: fc.constant('start' as const), limit: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ kind: fc.constant('leave' as const), id: fc.constantFrom(...ids) }),
  fc.record({ kind: fc.constant('back' as const), id: fc.constantFrom(...ids) }),
);

describe('the queue', () => {
  it('holds each job once, starts the oldest first, and never more than the limit', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let queue: Queue = emptyQueue;
        for (const one of steps) {
          const before = queue;
          if (one.kind === 'submit') queue = enqueue(queue, one.id);
          if (one.kind === 'leave') queue = leave(queue, one.id);
          if (one.kind === 'back' && queue.running.includes(one.id)) {
            queue = handBack(queue, one.id);
            expect(queue.waiting[0]).toBe(one.id);
          }
          if (one.kind === 'start') {
            const next = startNext(queue, one.limit);
            const may = before.waiting.length > 0 && before.running.length < one.limit;
            expect(next !== null).toBe(may);
            if (next === null) continue;
            expect(next.id).toBe(before.waiting[0]);
            expect(next.queue.running.length).toBeLessThanOrEqual(one.limit);
            queue = next.queue;
          }
          const all = [...queue.waiting, ...queue.running];
          expect(new Set(all).size).toBe(all.length);
          // Those that were waiting and still are keep their order.
          const still = before.waiting.filter((id) => queue.waiting.includes(id));
          expect(queue.waiting.filter((id) => before.waiting.includes(id))).toEqual(still);
          for (const [index, id] of queue.waiting.entries()) expect(positionOf(queue, id)).toBe(index + 1);
        }
      }),
    );
  });
});

const action = fc.oneof<fc.Arbitrary<JobAction>[]>(
  fc.constantFrom<JobAction>({ kind: 'start' }, { kind: 'hand-back' }, { kind: 'cancel' }, { kind: 'retry' }),
  fc.constantFrom(0, 1, 2, 3, 130, null).map((code): JobAction => ({ kind: 'exit', code })),
);

describe('the states of a job', () => {
  it('always end, unless somebody starts them again, and end by what the process said', () => {
    fc.assert(
      fc.property(fc.constantFrom(...JOB_STATES), action, (state, act) => {
        const next = nextState(state, act);
        expect(isActive(state) && isFinal(state)).toBe(false);
        if (next === null) {
          // Processes end however they like: a state with one at work takes any exit.
          expect(act.kind === 'exit' && isActive(state)).toBe(false);
          return;
        }
        if (act.kind === 'exit') {
          expect(isFinal(next)).toBe(true);
          expect(next === 'done').toBe(act.code === 0);
          expect(next === 'quarantined').toBe(act.code === 3);
        }
        if (isFinal(state)) expect(act.kind).toBe('retry');
        if (act.kind === 'cancel') expect(['cancelled', 'cancelling']).toContain(next);
      }),
    );
  });

  it.each<[JobState, JobAction, JobState | null]>([
    ['running', { kind: 'cancel' }, 'cancelling'],
    ['cancelling', { kind: 'exit', code: 130 }, 'cancelled'],
    ['cancelling', { kind: 'exit', code: 0 }, 'done'],
    ['cancelling', { kind: 'hand-back' }, 'cancelled'],
    ['running', { kind: 'exit', code: 130 }, 'failed'],
    ['running', { kind: 'hand-back' }, 'queued'],
    ['done', { kind: 'retry' }, null],
    ['running', { kind: 'retry' }, null],
  ])('%s and %o is %s', (state, act, expected) => expect(nextState(state, act)).toBe(expected));
});

describe('ids of jobs', () => {
  it('sort as the jobs came, whatever the clock does', () => {
    const instants = fc.array(
      fc.date({ min: new Date('2001-01-01'), max: new Date('2090-01-01'), noInvalidDate: true }),
      {
        maxLength: 50,
      },
    );
    fc.assert(
      fc.property(instants, (dates) => {
        let last = '';
        for (const date of dates) {
          const id = nextJobId(date, last);
          expect(id).toMatch(JOB_ID);
          expect(id > last).toBe(true);
          last = id;
        }
      }),
    );
  });

  it('go on into the next second when one is full', () => {
    expect(nextJobId(new Date('2026-12-31T23:59:59Z'), '20261231t235959-ffff')).toMatch(/^20270101t000000-/);
  });
});

describe('the order after a restart', () => {
  const job = (id: string, at: string) =>
    newRecord({ id, name: id, submitted: at, stages: [], parts: [], reports: [] });

  it('has jobs that were at work first, then by when they came into the queue', () => {
    const old = job('1', '2026-01-01T00:00:00.000Z');
    const young = job('2', '2026-01-02T00:00:00.000Z');
    const retried = inState(
      inState(old, 'failed', '2026-01-03T00:00:00.000Z'),
      'queued',
      '2026-01-04T00:00:00.000Z',
    );
    const wasRunning = inState(
      inState(job('3', '2026-01-03T00:00:00.000Z'), 'running', '2026-01-03T01:00:00.000Z'),
      'queued',
      '2026-01-05T00:00:00.000Z',
      true,
    );
    const order = [retried, wasRunning, young].sort(byQueueOrder).map(({ id }) => id);
    expect(order).toEqual(['3', '2', '1']);
  });

  it('does not grow with every change of state', () => {
    let record = job('1', '2026-01-01T00:00:00.000Z');
    for (let i = 0; i < 1000; i++) record = inState(record, i % 2 === 0 ? 'running' : 'queued', `${i}`);
    expect(record.transitions.length).toBeLessThanOrEqual(200);
    expect(record.transitions[0]?.at).toBe('2026-01-01T00:00:00.000Z');
    expect(record.transitions.at(-1)?.at).toBe('999');
  });
});
