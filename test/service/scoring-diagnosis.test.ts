import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Scoring } from '#tokensieve/service/scoring/open.js';
import { openScoring } from '#tokensieve/service/scoring/open.js';
import type { ScoreRequest } from '#tokensieve/service/scoring/schemas.js';
import { rowsOf, shards } from '../../fixtures/quickstart/corpus.mjs';
import { defaults } from '../../fixtures/quickstart/make.mjs';
import { diagnoseText } from '../../web/src/playground/diagnosis.js';
import { keepShare, rankTokens } from '../../web/src/playground/keep.js';
import { quickstartInputs, temporaryFolder } from '../support/quickstart.js';

// The quickstart's two models, the right way round and the wrong one, on lessons that neither has counted.

describe('the diagnosis of scored texts', () => {
  const root = temporaryFolder();
  let scoring: Scoring;
  let lessons: string[];
  beforeAll(async () => {
    const { reference, current } = await quickstartInputs(root);
    scoring = await openScoring({
      models: [
        { name: 'good', reference, current },
        { name: 'swapped', reference: current, current: reference },
        { name: 'twice', reference, current: reference },
        { name: 'alone', reference },
      ],
      cache: `${root}/cache`,
    });
    const shard = shards.find(({ path }) => path.startsWith('held-out/lessons'));
    lessons = rowsOf({ ...shard!, rows: 3 }, defaults.seed).map(({ text }) => text);
  });
  afterAll(() => scoring?.close());

  const score = (request: Partial<ScoreRequest>) =>
    scoring.score({ texts: lessons, ...request }, new AbortController().signal);
  const codesOf = async (request: Partial<ScoreRequest>) =>
    (await score(request)).diagnosis?.findings.map(({ code }) => code);

  it('has nothing against the quickstart’s pair', async () => {
    const { diagnosis, results } = await score({ model: 'good', select: { method: 'slm', keep: 0.6 } });
    const eligible = results.reduce((sum, result) => sum + result.eligible, 0);
    expect(diagnosis).toEqual({ tokens: eligible, enough: true, findings: [] });
  });

  it('tells of swapped models, with a selection and without one, but not by another score', async () => {
    const model = 'swapped';
    expect(await codesOf({ model })).toEqual(['reference-weaker']);
    expect(await codesOf({ model, select: { method: 'slm', keep: 0.6 } })).toEqual([
      'reference-weaker',
      'kept-negative',
    ]);
    expect(await codesOf({ model, select: { method: 'reference-loss' } })).toEqual([]);
    expect(await codesOf({ model, select: { method: 'slm', keep: 1 } })).toEqual(['reference-weaker']);
  });

  it('tells of one model twice; of one alone it says nothing', async () => {
    expect(await codesOf({ model: 'twice' })).toEqual(['models-alike']);
    expect((await score({ model: 'alone' })).diagnosis).toBeNull();
  });

  it('says that a short text is too short', async () => {
    const texts = ['The sum of 2 and 3 is 5.'];
    const { diagnosis } = await score({ model: 'swapped', texts });
    expect(diagnosis).toMatchObject({ enough: false, findings: [] });
  });

  it('is the playground’s too, at any share', async () => {
    for (const model of ['good', 'swapped']) {
      for (const keep of [0.1, 0.6, 1]) {
        const [text = ''] = lessons;
        const { results, diagnosis } = await score({ model, texts: [text], select: { method: 'slm', keep } });
        const tokens = results[0]!.tokens;
        const kept = keepShare(rankTokens('slm', tokens), keep * 1e6);
        const { findings, words } = diagnoseText('slm', tokens, kept);
        expect(findings).toEqual(diagnosis?.findings);
        expect(words.includes('has not learnt yet')).toBe(model === 'good' && keep < 1);
        expect(diagnoseText('reference-loss', tokens, kept).findings).toEqual([]);
      }
    }
  });
});
