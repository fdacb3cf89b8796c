import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openLog } from '#tokensieve/service/jobs/log.js';
import { foldEvent, noProgress, progressSchema } from '#tokensieve/service/jobs/progress.js';
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
