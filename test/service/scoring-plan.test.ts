import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lengthLadder } from '#tokensieve/score/batches.js';
import type { PackingRules } from '#tokensieve/sequence/packing.js';
import { answerPieces } from '#tokensieve/service/scoring/answer.js';
import { openDocument, rowTokens } from '#tokensieve/service/scoring/document.js';
import { nextBatch, paddedLength, type WaitingRow } from '#tokensieve/service/scoring/plan.js';
import { unitRanges } from '#tokensieve/service/scoring/ranges.js';
import { createRate, retryAfter } from '#tokensieve/service/scoring/rate.js';
import { createRoom } from '#tokensieve/service/scoring/room.js';
import type { ScoreResponse } from '#tokensieve/service/scoring/schemas.js';
import { pairFromFlag, scoringSettings } from '#tokensieve/service/scoring/settings.js';

const LENGTH = 512;
const rules = { batchTokens: 1024, length: LENGTH };
const ladder = lengthLadder(LENGTH);

const waitingRows = fc
  .array(
    fc.record({
      turn: fc.integer({ min: 0, max: 5000 }),
      length: fc.integer({ min: 1, max: LENGTH }),
      request: fc.integer({ min: 0, max: 6 }),
      alone: fc.boolean(),
    }),
    { maxLength: 60 },
  )
  .map((rows) => rows.map((row, order): WaitingRow => ({ ...row, order })));

const earlier = (a: WaitingRow, b: WaitingRow): boolean =>
  a.turn < b.turn || (a.turn === b.turn && a.order < b.order);

describe('the next batch', () => {
  it('holds the row whose turn is lowest and the next ones of its padded length, within the limit', () => {
    fc.assert(
      fc.property(waitingRows, (waiting) => {
        const batch = nextBatch(waiting, rules);
        expect(batch.length > 0).toBe(waiting.length > 0);
        if (waiting.length === 0) return;
        const first = waiting.reduce((a, b) => (earlier(a, b) ? a : b));
        const length = paddedLength(first.length, ladder);
        expect(batch[0]).toBe(first);
        expect(new Set(batch).size).toBe(batch.length);
        expect(batch.every((row) => paddedLength(row.length, ladder) === length)).toBe(true);
        expect(batch.length === 1 || batch.length * length <= rules.batchTokens).toBe(true);
        // A row that has to be alone shares with its own request; nobody who could have come is left out.
        const could = waiting.filter(
          (row) =>
            paddedLength(row.length, ladder) === length &&
            (first.alone ? row.request === first.request : !row.alone),
        );
        expect(batch.every((row) => could.includes(row))).toBe(true);
        const left = could.filter((row) => !batch.includes(row));
        expect(left.every((row) => batch.every((taken) => earlier(taken, row)))).toBe(true);
        expect(left.length === 0 || (batch.length + 1) * length > rules.batchTokens).toBe(true);
      }),
    );
  });

  it('takes every row once until none waits', () => {
    fc.assert(
      fc.property(waitingRows, (waiting) => {
        let left: readonly WaitingRow[] = waiting;
        const seen: WaitingRow[] = [];
        while (left.length > 0) {
          const batch = nextBatch(left, rules);
          seen.push(...batch);
          left = left.filter((row) => !batch.includes(row));
        }
        expect(seen.map(({ order }) => order).sort((a, b) => a - b)).toEqual(waiting.map((_, i) => i));
      }),
    );
  });

  it('neither lets a long request hold up short ones nor starves it under a flood of them', () => {
    let started = 0;
    let order = 0;
    let request = 0;
    let waiting: WaitingRow[] = [];
    const arrive = (lengths: readonly number[]): number => {
      let turn = started;
      for (const length of lengths) {
        waiting.push({ turn, order: order++, length, request, alone: false });
        turn += length;
      }
      return request++;
    };
    const long = arrive(new Array(40).fill(LENGTH));
    let longLeft = 40;
    let batches = 0;
    const waits: number[] = [];
    const since = new Map<number, number>();
    while (longLeft > 0 && batches < 10_000) {
      // The queue never runs dry: eight short requests of one length wait at any time.
      while (waiting.filter((row) => row.request !== long).length < 8) since.set(arrive([60]), batches);
      const batch = nextBatch(waiting, rules);
      waiting = waiting.filter((row) => !batch.includes(row));
      for (const row of batch) {
        started += row.length;
        if (row.request === long) longLeft--;
        else waits.push(batches - since.get(row.request)!);
      }
      batches++;
    }
    expect(longLeft).toBe(0);
    // 20 batches of two long rows, and short ones as long as theirs in between.
    expect(batches).toBeLessThan(80);
    expect(Math.max(...waits)).toBeLessThan(5);
  });
});

describe('room', () => {
  it('never holds more than its limit, and gives back what was taken', () => {
    const step = fc.record({
      what: fc.constantFrom('take', 'resize', 'release'),
      tokens: fc.nat(150),
      which: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const room = createRoom(300);
        const held: { place: NonNullable<ReturnType<typeof room.take>>; tokens: number }[] = [];
        for (const { what, tokens, which } of steps) {
          const chosen = held[which % Math.max(1, held.length)];
          if (what === 'take') {
            const fits = room.held() + tokens <= 300;
            const place = room.take(tokens);
            expect(place !== null).toBe(fits);
            if (place !== null) held.push({ place, tokens });
          } else if (chosen !== undefined && what === 'resize') {
            if (chosen.place.resize(tokens)) chosen.tokens = tokens;
            else expect(tokens).toBeGreaterThan(chosen.tokens);
          } else if (chosen !== undefined) {
            chosen.place.release();
            chosen.place.release();
            expect(chosen.place.resize(1)).toBe(false);
            held.splice(held.indexOf(chosen), 1);
          }
          expect(room.held()).toBe(held.reduce((sum, { tokens: own }) => sum + own, 0));
          expect(room.held()).toBeLessThanOrEqual(300);
        }
      }),
    );
  });
});

describe('the rate', () => {
  it('counts time once where batches overlap, and follows what comes', () => {
    const rate = createRate();
    expect(rate.perSecond()).toBeNull();
    // Two in flight: each takes 200 ms from its start, one ends every 100 ms, 50 tokens each.
    for (let i = 0; i < 10; i++) rate.note(50, i * 100, i * 100 + 200);
    expect(rate.perSecond()).toBeGreaterThan(400);
    expect(rate.perSecond()).toBeLessThan(510);
    // Idle time in between is not counted.
    rate.note(50, 60_000, 60_100);
    expect(rate.perSecond()).toBeGreaterThan(400);
    for (let i = 0; i < 200; i++) rate.note(500, 70_000 + i * 100, 70_100 + i * 100);
    expect(rate.perSecond()).toBeCloseTo(5000, -1);
  });

  it('gives whole seconds after which there is room', () => {
    expect(retryAfter(100, 1000, 1000, 10)).toBe(10);
    expect(retryAfter(100, 950, 1000, 10)).toBe(5);
    expect(retryAfter(1, 1000, 1000, 1e6)).toBe(1);
    expect(retryAfter(100, 1000, 1000, null)).toBe(1);
    expect(retryAfter(1e9, 1000, 1000, 1)).toBe(600);
  });
});

describe('UTF-16 ranges', () => {
  const bytesOf = (...pairs: readonly (readonly [number, number])[]) => ({
    byteStart: Int32Array.from(pairs, ([start]) => start),
    byteEnd: Int32Array.from(pairs, ([, end]) => end),
  });
  const ranges = (text: string, bytes: ReturnType<typeof bytesOf>) => {
    const { start, end } = unitRanges(text, bytes);
    return Array.from(start, (from, i) => [from, end[i]]);
  };

  it('give a character that tokens share to the last of them', () => {
    // " 😀": a space with the first byte, then three single bytes; byte ranges hold whole characters.
    expect(ranges(' 😀!', bytesOf([0, 5], [1, 5], [1, 5], [1, 5], [5, 6]))).toEqual([
      [0, 1],
      [1, 1],
      [1, 1],
      [1, 3],
      [3, 4],
    ]);
    // A mark put before the text as a token of its own shares the first character's range.
    expect(ranges('Hello', bytesOf([0, 1], [0, 5]))).toEqual([
      [0, 0],
      [0, 5],
    ]);
  });

  it('are empty where a token cannot be traced', () => {
    expect(ranges('aéb', bytesOf([0, 1], [-1, -1], [3, 4]))).toEqual([
      [0, 1],
      [1, 1],
      [2, 3],
    ]);
  });

  it('join to the text for any cut into bytes', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', minLength: 1 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }),
        (text, lengths) => {
          // Tokens of some bytes each, widened to whole characters, as the tokenizer room gives them.
          const edges: [number, number][] = [];
          let at = 0;
          for (const char of text) {
            const size = Buffer.byteLength(char);
            for (let b = 0; b < size; b++) edges.push([at, at + size]);
            at += size;
          }
          const pairs: [number, number][] = [];
          for (let byte = 0, i = 0; byte < edges.length; i++) {
            const last = Math.min(edges.length, byte + lengths[i % lengths.length]!) - 1;
            pairs.push([edges[byte]![0], edges[last]![1]]);
            byte = last + 1;
          }
          const found = ranges(text, bytesOf(...pairs));
          expect(found.map(([start, end]) => text.slice(start, end)).join('')).toBe(text);
          found.forEach(([start, end], i) => {
            expect(start).toBe(i === 0 ? 0 : found[i - 1]![1]);
            expect(end).toBeGreaterThanOrEqual(start!);
          });
        },
      ),
    );
  });
});

describe('rows of a document', () => {
  it('have as many ids as was reckoned beforehand', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 700 }),
        fc.integer({ min: 2, max: 96 }),
        fc.nat(),
        fc.boolean(),
        (count, length, pick, bos) => {
          const overlap = 1 + (pick % (length - 1));
          const rules: PackingRules = {
            length,
            overlap,
            packing: 'document',
            attention: 'across',
            bosId: bos ? 0 : null,
            eosId: 1,
            eosEligible: true,
          };
          const text = 'a'.repeat(count);
          const offsets = {
            byteStart: Int32Array.from({ length: count }, (_, i) => i),
            byteEnd: Int32Array.from({ length: count }, (_, i) => i + 1),
          };
          const encoding = { ids: new Int32Array(count).fill(7), offsets: () => offsets };
          const { ids, rows, start, end } = openDocument(text, encoding, rules);
          expect(ids.length).toBe(count + 1 + (bos ? 1 : 0));
          expect(rows.reduce((sum, { sequence }) => sum + sequence.ids.length, 0)).toBe(
            rowTokens(ids.length, rules),
          );
          // Every token but the first is a target of exactly one row, the one that `first` places it in.
          const targets = new Array<number>(ids.length).fill(0);
          for (const { sequence, first } of rows) {
            sequence.ids.forEach((id, i) => {
              expect(id).toBe(ids[first + i]);
              targets[first + i]! += sequence.eligible[i]!;
            });
          }
          expect(targets).toEqual(targets.map((_, i) => (i === 0 ? 0 : 1)));
          expect([...start].map((from, i) => text.slice(from, end[i])).join('')).toBe(text);
        },
      ),
    );
  });
});

describe('an answer in pieces', () => {
  it('is the JSON of the whole', () => {
    const list = Array.from({ length: 10_000 }, (_, i) => (i % 7 === 0 ? null : i / 3));
    const numbers = list.map((value) => value ?? 0);
    const tokens = { id: numbers, start: numbers, end: numbers };
    const losses = { reference_loss: list, current_loss: list, excess: list.slice(0, 4096) };
    const response: ScoreResponse = {
      model: 'one',
      results: [
        {
          tokens: { ...tokens, ...losses, weight: null },
          eligible: 3,
          truncated: true,
          max_tokens: 128,
        },
        {
          tokens: { ...tokens, ...losses, id: [], weight: [1] },
          eligible: 0,
          truncated: false,
          max_tokens: 128,
        },
      ],
      diagnosis: null,
      timing: { queue_ms: 1.5, score_ms: 2 },
    };
    const pieces = [...answerPieces(response)];
    expect(JSON.parse(pieces.join(''))).toEqual(response);
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThan(100_000);
    expect(JSON.parse([...answerPieces({ ...response, results: [] })].join(''))).toEqual({
      ...response,
      results: [],
    });
  });
});

describe('settings', () => {
  it('take pairs from flags and refuse what could never work', () => {
    expect(pairFromFlag('small=a/b,c')).toEqual({ name: 'small', reference: 'a/b', current: 'c' });
    expect(pairFromFlag('small=,c')).toEqual({ name: 'small', current: 'c' });
    expect(pairFromFlag('small=a')).toEqual({ name: 'small', reference: 'a' });
    for (const bad of ['small', '=a,b', 'small=', 'small=a,b,c']) {
      expect(() => pairFromFlag(bad)).toThrow(/expected NAME=REFERENCE,CURRENT/);
    }
    const pair = { name: 'a', reference: 'x' };
    expect(scoringSettings.safeParse({ models: [pair, pair] }).success).toBe(false);
    expect(scoringSettings.safeParse({ models: [{ name: 'a' }] }).success).toBe(false);
    expect(scoringSettings.safeParse({ request_tokens: 10, queue_tokens: 9 }).success).toBe(false);
    expect(scoringSettings.safeParse({ models: [{ ...pair, name: '../x' }] }).success).toBe(false);
  });
});
