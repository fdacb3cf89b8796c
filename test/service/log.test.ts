import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createJobProgress } from '#tokensieve/service/jobs/array-progress.js';
import { openLog } from '#tokensieve/service/jobs/log.js';
import { createPartEvents } from '#tokensieve/service/jobs/parts.js';
import { foldEvent, type LogEvent, noProgress, progressSchema } from '#tokensieve/service/jobs/progress.js';
import { temporaryFolder } from '../support/quickstart.js';

const folder = temporaryFolder();

describe('a log', () => {
  it('is read as it grows, in any pieces, and gives any stretch of its lines', async () => {
    const line = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 30 }).map((text) => text.replace(/[\r\n]/g, '')),
      fc
        .record({ event: fc.constantFrom('note', 'progress', 'planned'), n: fc.nat() })
        .map((event) => JSON.stringify(event)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 700 }),
        fc.array(fc.nat(), { maxLength: 5 }),
        fc.nat(800),
        fc.nat(300),
        async (lines, cuts, after, limit) => {
          const path = join(folder, 'log.jsonl');
          const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
          writeFileSync(path, '');
          const log = openLog(path, []);
          let from = 0;
          for (const cut of [
            ...cuts.map((n) => n % (bytes.length + 1)).sort((a, b) => a - b),
            bytes.length,
          ]) {
            appendFileSync(path, bytes.subarray(from, cut));
            from = Math.max(from, cut);
            await log.refresh();
          }
          expect(log.lines()).toBe(lines.length);
          const read = await log.read(after, limit);
          expect(read.map((one) => one.line)).toEqual(lines.map((_, i) => i + 1).slice(after, after + limit));
          for (const { line: number, event } of read) {
            const text = lines[number - 1] ?? '';
            expect(event).toEqual(
              text.startsWith('{"event"') ? JSON.parse(text) : { event: 'text', message: text },
            );
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it('is empty while there is no file, and cuts lines that no event has', async () => {
    const path = join(folder, 'none.jsonl');
    rmSync(path, { force: true });
    const log = openLog(path, ['score']);
    expect(await log.refresh()).toBe(false);
    expect(await log.read(0, 10)).toEqual([]);
    writeFileSync(path, `${'x'.repeat(1 << 20)}\n{"event":"note"}\n`);
    await log.refresh();
    const [long, short] = await log.read(0, 10);
    expect(String(long?.event['message']).length).toBe(1 << 16);
    expect(short?.event.event).toBe('note');
  });

  it('keeps what the command last said, and the shards that could not be opened', async () => {
    const path = join(folder, 'words.jsonl');
    const lines = [
      { event: 'attempt', attempt: 1 },
      'tokensieve: the first try failed',
      { event: 'attempt', attempt: 2 },
      {
        event: 'quarantined',
        shard: 'a.parquet',
        reason: 'broken-shard',
        detail: 'no footer',
        row: 0,
        rows: null,
      },
      '',
      'tokensieve: stopping; the same command goes on from here',
      'tokensieve: out/: no space left to write',
      '  (set TOKENSIEVE_DEBUG=1 for the stack)',
    ];
    writeFileSync(
      path,
      lines.map((one) => `${typeof one === 'string' ? one : JSON.stringify(one)}\n`).join(''),
    );
    const log = openLog(path, []);
    await log.refresh();
    expect(log.lastWords()).toBe('tokensieve: out/: no space left to write');
    expect(log.brokenShards()).toEqual([{ shard: 'a.parquet', detail: 'no footer' }]);
  });
});

describe('progress', () => {
  it('fits its schema whatever a log says', () => {
    const value = fc.oneof(fc.double(), fc.string(), fc.constant(null), fc.integer(), fc.boolean());
    const event = fc.record({
      event: fc.constantFrom(
        'attempt',
        'stage',
        'planned',
        'progress',
        'part-done',
        'train-planned',
        'step',
        'other',
      ),
      name: value,
      parts: value,
      done: value,
      text_bytes: value,
      total_text_bytes: value,
      done_bytes: value,
      tokens: value,
      tokens_per_second: value,
      seconds_left: value,
      steps: value,
      step: value,
      seconds: value,
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), (events) => {
        const progress = events.reduce(foldEvent, noProgress(['score', 'select']));
        expect(progressSchema.safeParse(progress).error).toBeUndefined();
        expect(progress.stages).toEqual(['score', 'select']);
      }),
    );
  });

  it('counts parts of a stage, and begins anew with the next', () => {
    const events = [
      { event: 'stage', name: 'score' },
      { event: 'planned', parts: 3, done: 1, text_bytes: 300, done_bytes: 100 },
      { event: 'part-done' },
      {
        event: 'progress',
        text_bytes: 220,
        total_text_bytes: 300,
        tokens: 50,
        tokens_per_second: 10,
        seconds_left: 8,
      },
    ];
    const scoring = events.reduce(foldEvent, noProgress(['score', 'select']));
    expect(scoring).toMatchObject({
      stage: 'score',
      parts: 3,
      parts_done: 2,
      text_bytes_done: 220,
      seconds_left: 8,
    });
    expect(foldEvent(scoring, { event: 'stage', name: 'select' })).toEqual({
      ...noProgress(['score', 'select']),
      stage: 'select',
    });
  });

  it('shows steps where a stage trains', () => {
    const events = [
      { event: 'stage', name: 'base' },
      { event: 'train-planned', steps: 100, done: 20 },
      { event: 'step', step: 60, tokens: 6000, tokens_per_second: 500, seconds: 0.5 },
    ];
    expect(events.reduce(foldEvent, noProgress(['base']))).toMatchObject({
      stage: 'base',
      parts: 100,
      parts_done: 60,
      tokens: 6000,
      seconds_left: 20,
    });
  });
});

describe('the progress of an array', () => {
  const line = (array_index: number, event: string, more: object = {}) => ({ event, array_index, ...more });

  it('adds up its processes at the stage that the last of them is at', () => {
    const progress = createJobProgress(['pack', 'score']);
    const add = (...lines: LogEvent[]): void => {
      for (const one of lines) progress.add(one);
    };
    add({ event: 'attempt', attempt: 1 });
    for (const index of [0, 1]) {
      add(
        line(index, 'stage', { name: 'pack' }),
        line(index, 'planned', { parts: 4, done: 1, text_bytes: 40 }),
      );
    }
    add(line(0, 'part-done'), line(1, 'part-done'), line(1, 'part-done'));
    const rate = { text_bytes: 20, total_text_bytes: 40, tokens: 7, tokens_per_second: 5, seconds_left: 3 };
    add(line(0, 'progress', rate), line(1, 'progress', { ...rate, seconds_left: 9 }));
    expect(progress.read()).toMatchObject({
      stage: 'pack',
      parts: 8,
      parts_done: 5,
      text_bytes: 80,
      text_bytes_done: 40,
      tokens: 14,
      tokens_per_second: 10,
      seconds_left: 9,
    });
    // One of them goes on to the next stage: the other's is shown, with what the first has made of it.
    add(line(1, 'stage', { name: 'score' }), line(1, 'planned', { parts: 3 }));
    expect(progress.read()).toMatchObject({ stage: 'pack', parts: 8, parts_done: 5, tokens_per_second: 5 });
    add(line(0, 'stage', { name: 'score' }), line(0, 'planned', { parts: 2, done: 2 }));
    expect(progress.read()).toMatchObject({ stage: 'score', parts: 5, parts_done: 2, tokens: 0 });
    // The run after it counts for itself.
    add({ event: 'stage', name: 'pack' }, { event: 'planned', parts: 8, done: 8 });
    expect(progress.read()).toMatchObject({ stage: 'pack', parts: 8, parts_done: 8 });
  });

  it('knows the parts in work of each of its processes', () => {
    const events = createPartEvents();
    for (const index of [0, 1]) {
      events.add(line(index, 'stage', { name: 'score', kind: 'score' }));
      events.add(line(index, 'part-started', { shard: 'a', part: index }));
    }
    expect(events.running()).toEqual([
      { kind: 'scored', shard: 'a', part: 0 },
      { kind: 'scored', shard: 'a', part: 1 },
    ]);
    // Another process's next stage takes nothing from this one.
    events.add(line(1, 'stage', { name: 'pack', kind: 'pack' }));
    events.add(line(0, 'part-done', { shard: 'a', part: 0, seconds: 2 }));
    expect([events.running(), events.seconds('scored', 'a', 0)]).toEqual([[], 2]);
  });
});
