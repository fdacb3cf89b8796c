import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openScoring, type Scoring } from '#tokensieve/service/scoring/open.js';
import type { ScoredText } from '#tokensieve/service/scoring/schemas.js';
import { temporaryFolder } from '../support/quickstart.js';
import { type OfflineDocument, scoreOffline, type TestPair, texts, writePairs } from './scoring-support.js';

const MAX_TOKENS = 128;
const TOLERANCE = 1e-4;

describe('losses of the service and of tokensieve score', () => {
  const folder = temporaryFolder();
  const pairs = writePairs(join(folder, 'models'));
  let scoring: Scoring;
  const signal = new AbortController().signal;

  beforeAll(async () => {
    scoring = await openScoring({
      models: Object.values(pairs).map((pair: TestPair) => ({ ...pair, max_tokens: MAX_TOKENS })),
      device: 'cpu',
      cache: join(folder, 'cache'),
    });
  });
  afterAll(() => scoring.close());

  function compare(text: string, online: ScoredText, offline: OfflineDocument): number {
    const { tokens } = online;
    expect(tokens.id, text).toEqual(offline.ids);
    expect(tokens.start.map((start, i) => text.slice(start, tokens.end[i])).join(''), text).toBe(text);
    expect(online.truncated).toBe(offline.rows > 1);
    let worst = 0;
    tokens.id.forEach((_, i) => {
      const [reference, current] = [offline.reference[i]!, offline.current[i]!];
      expect(tokens.reference_loss[i] === null, `${text} token ${i}`).toBe(Number.isNaN(reference));
      expect(tokens.current_loss[i] === null).toBe(Number.isNaN(current));
      if (Number.isNaN(reference)) {
        expect(tokens.excess[i]).toBeNull();
        return;
      }
      const [a, b] = [tokens.reference_loss[i]!, tokens.current_loss[i]!];
      worst = Math.max(worst, Math.abs(a - reference), Math.abs(b - current));
      expect(tokens.excess[i]).toBe(Math.fround(b - a));
    });
    expect(online.eligible).toBe(offline.reference.filter((loss) => !Number.isNaN(loss)).length);
    return worst;
  }

  it.each(Object.values(pairs))('are the same for the pair $name', async (pair) => {
    const offline = await scoreOffline(pair, texts, join(folder, pair.name), MAX_TOKENS);
    expect(offline.some(({ rows }) => rows > 3)).toBe(true);
    const { results } = await scoring.score({ model: pair.name, texts: [...texts] }, signal);
    const together = results.map((result, i) => compare(texts[i]!, result, offline[i]!));
    const alone: number[] = [];
    for (const [i, text] of texts.entries()) {
      const single = await scoring.score({ model: pair.name, texts: [text] }, signal);
      alone.push(compare(text, single.results[0]!, offline[i]!));
    }
    expect(Math.max(...together, ...alone)).toBeLessThan(TOLERANCE);
  });

  it('an empty text is its boundaries: EOS is a target where BOS stands before it', async () => {
    const { results } = await scoring.score({ model: 'fallback', texts: [''] }, signal);
    expect(results[0]).toMatchObject({
      tokens: { id: [1, 2], start: [0, 0], end: [0, 0], reference_loss: [null, expect.any(Number)] },
      eligible: 1,
      truncated: false,
    });
    const bytes = await scoring.score({ model: 'bytes', texts: [''], select: {} }, signal);
    expect(bytes.results[0]).toMatchObject({
      tokens: { id: [0], reference_loss: [null], current_loss: [null], excess: [null], weight: [0] },
      eligible: 0,
    });
  });

  it('a control token that a text spells out is text', async () => {
    const { results } = await scoring.score({ model: 'fallback', texts: ['a </s> b'] }, signal);
    const ids = results[0]!.tokens.id;
    expect(ids.filter((id) => id === 2)).toHaveLength(1);
    expect(ids.at(-1)).toBe(2);
  });
});
