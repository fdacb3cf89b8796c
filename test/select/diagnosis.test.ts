import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBatchTally } from '#tokensieve/select/diagnosis/batch-tally.js';
import { diagnose, enoughTokens } from '#tokensieve/select/diagnosis/diagnose.js';
import { createExcessTally, type ExcessFigures } from '#tokensieve/select/diagnosis/excess-figures.js';
import type { GroupAxis, GroupFigures } from '#tokensieve/select/diagnosis/group-figures.js';
import { methodTraits, NO_METHOD } from '#tokensieve/select/diagnosis/method-traits.js';
import { keptByExcess } from '#tokensieve/select/diagnosis/words.js';
import { METHODS } from '#tokensieve/select/methods.js';
import { createSelection } from '#tokensieve/select/selection.js';
import { type SelectionInput, selectionSettings } from '#tokensieve/select/settings.js';
import { toBatch, toSource } from './support.js';

/** Losses that `make run` stored: fixtures/diagnosis/losses.mjs. */
function quickstart(): { readonly reference: Float32Array; readonly base: Float32Array } {
  const bytes = readFileSync(new URL('../../fixtures/diagnosis/quickstart.bin', import.meta.url));
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  return { reference: all.subarray(0, all.length / 2), base: all.subarray(all.length / 2) };
}
const good = quickstart();

/** What the doctor says of real weights: the method's own, on one row of tokens. */
async function examine(reference: Float32Array, current: Float32Array, settings: SelectionInput = {}) {
  const row = { reference_loss: [...reference], current_loss: [...current] };
  const source = toSource({ shard: 'a', part: 0, rows: [row] }, 1);
  const selection = createSelection(selectionSettings.parse({ allow_constant: true, ...settings }));
  const tally = createBatchTally([]);
  tally.begin('a', () => null);
  for await (const { batch, weights } of selection.weigh(source, await selection.prepare([source])).batches) {
    tally.add(batch, weights);
  }
  tally.end();
  const evidence = tally.evidence();
  const findings = diagnose({ ...evidence, method: methodTraits(selection.conventions) });
  return {
    findings,
    codes: findings.map(({ code }) => code),
    words: keptByExcess(evidence.excess, findings),
    excess: evidence.excess as ExcessFigures,
  };
}
const map = (losses: Float32Array, change: (loss: number, i: number) => number): Float32Array =>
  losses.map((loss, i) => change(loss, i));
/** Of small numbers that look like noise and are the same each time. */
const wave = (i: number): number => Math.sin(i * i + 0.5);
const CLAIM = 'what the reference finds predictable and the current model has not learnt';

describe('the doctor on the quickstart’s own losses', () => {
  it('says nothing of the good pair, and its words hold', async () => {
    const { findings, words, excess } = await examine(good.reference, good.base, { keep: 0.6 });
    expect(findings).toEqual([]);
    expect(words).toContain(CLAIM);
    // Its mean is below 0 all the same: pages are noisy, and the reference has not seen their noise.
    expect(excess.mean).toBeLessThan(0);
    expect(excess.negative / excess.tokens).toBeCloseTo(0.435, 2);
  });

  it('notices the two the wrong way round', async () => {
    const { codes, words, findings } = await examine(good.base, good.reference, { keep: 0.6 });
    expect(codes).toEqual(['reference-weaker']);
    expect(findings[0]?.message).toContain(
      '56.5% of the tokens (mean excess 0.12 nats): either the two models',
    );
    expect(findings[0]?.figures['negative_share']).toBeCloseTo(0.565, 3);
    expect(words).not.toContain(CLAIM);
  });

  it('notices one model twice, nearly twice, and twice but for a constant', async () => {
    for (const current of [
      good.reference,
      map(good.reference, (loss, i) => loss + 0.03 * wave(i)),
      map(good.reference, (loss) => loss + 0.7),
    ]) {
      const { codes, words } = await examine(good.reference, current);
      expect(codes).toEqual(['models-alike']);
      expect(words).not.toContain(CLAIM);
    }
    // A reference that is behind by a constant is both: no better, and behind everywhere.
    const behind = await examine(
      map(good.base, (loss) => loss + 0.7),
      good.base,
    );
    expect(behind.codes).toEqual(['models-alike', 'reference-weaker', 'kept-negative']);
    expect(behind.findings[0]?.message).toContain('nats around −0.70');
  });

  it('notices a weak reference, and what it makes slm keep', async () => {
    // As if it had learnt less of every token, and of some nothing.
    const weak = map(good.base, (loss, i) => loss + 0.8 + 2 * wave(i));
    const { codes, findings, words } = await examine(weak, good.base, { keep: 0.6 });
    expect(codes).toEqual(['reference-weaker', 'kept-negative']);
    const { kept_negative_share: part, lowest_kept: lowest } = findings[1]?.figures ?? {};
    const excess = [...good.base].map((loss, i) => Math.fround(loss - (weak[i] ?? 0))).sort((a, b) => b - a);
    const kept = excess.slice(0, Math.floor(0.6 * excess.length));
    expect(part).toBeCloseTo(kept.filter((value) => value < 0).length / kept.length, 12);
    expect(lowest).toBe(kept.at(-1));
    expect(words).not.toContain(CLAIM);
    // A lower share keeps what lies above 0; the pair is no better for it.
    expect((await examine(weak, good.base, { keep: 0.1 })).codes).toEqual(['reference-weaker']);
  });

  it('has nothing against a reference that is better everywhere', async () => {
    const { codes, words } = await examine(
      good.reference,
      map(good.reference, (loss, i) => loss + 3 + 2 * wave(i)),
    );
    expect(codes).toEqual([]);
    expect(words).toMatch(/has not learnt yet\.$/);
  });

  it('has nothing against keeping everything, and says that nothing is selected', async () => {
    const { codes, words } = await examine(good.reference, good.base, { keep: 1 });
    expect(codes).toEqual([]);
    expect(words).toBe('All tokens are kept: nothing was selected.');
  });

  it('scolds no method for an excess that it does not go by', async () => {
    const weak = map(good.base, (loss, i) => loss + 0.8 + 2 * wave(i));
    const need: Readonly<Record<string, SelectionInput>> = {
      threshold: { threshold: -1 },
      band: { band: [0.3, 0.9] },
    };
    const said: Record<string, string[]> = {};
    for (const { name } of METHODS) {
      if (name === 'domain-weights' || /entropy|union|intersection/.test(name)) continue;
      said[name] = (await examine(weak, good.base, { method: name, ...need[name] })).codes;
    }
    const behind = ['reference-weaker'];
    expect(said).toEqual({
      slm: [...behind, 'kept-negative'],
      // These reach below 0 because they were asked to, or weigh what they do not keep whole.
      ...{ threshold: behind, band: behind, sampled: behind, soft: behind },
      ...{ 'rho-loss': behind, miniplm: behind },
      ...{ 'reference-loss': [], random: [], clm: [], esl: [], dft: [] },
    });
    const byLoss = { method: 'threshold', score: 'reference-loss', threshold: -2 } as const;
    expect((await examine(weak, good.base, byLoss)).codes).toEqual([]);
  });

  it('says nothing of a few tokens, and more of many than of some', async () => {
    const swapped = (n: number) => examine(good.base.subarray(0, n), good.reference.subarray(0, n));
    const { excess, codes } = await swapped(60);
    expect(enoughTokens(excess)).toBe(false);
    expect(codes).toEqual([]);
    // 150 tokens of one model that is far behind are enough.
    const far = map(good.base.subarray(0, 150), (loss) => loss + 3 + wave(loss));
    expect((await examine(far, good.base.subarray(0, 150))).codes).toContain('reference-weaker');
    expect((await swapped(1000)).codes).not.toContain('kept-negative');
  });

  it('passes over tokens without a loss', async () => {
    const tail = (losses: Float32Array): Float32Array =>
      Float32Array.from([Number.NaN, ...losses, ...new Float32Array(5000).fill(Number.NaN)]);
    const plain = await examine(good.reference, good.base);
    const padded = await examine(tail(good.reference), tail(good.base));
    expect(padded).toEqual(plain);
    expect(diagnose({ excess: null, groups: [], method: NO_METHOD })).toEqual([]);
  });
});

describe('figures of the excess', () => {
  it('are those of the plain sums, however the tokens are cut into calls', () => {
    const loss = fc.float({ min: 0, max: 40, noNaN: true });
    const token = fc.tuple(
      fc.oneof({ weight: 9, arbitrary: loss }, { weight: 1, arbitrary: fc.constant(Number.NaN) }),
      loss,
      fc.constantFrom(0, 1, 1, 0.25),
    );
    fc.assert(
      fc.property(fc.array(token, { minLength: 1, maxLength: 300 }), fc.nat(300), (tokens, at) => {
        const column = (k: 0 | 1 | 2) => Float32Array.from(tokens, (values) => values[k]);
        const [reference, current, weights] = [column(0), column(1), column(2)];
        const tally = createExcessTally();
        for (const [from, to] of [
          [0, at],
          [at, tokens.length],
        ])
          tally.add(reference.subarray(from, to), current.subarray(from, to), weights.subarray(from, to));
        const excess = [...current]
          .map((own, i) => ({ value: Math.fround(own - reference[i]!), weight: weights[i]! }))
          .filter(({ value }) => !Number.isNaN(value));
        const found = tally.figures();
        if (excess.length === 0) {
          expect(found).toBeNull();
          return;
        }
        const below = excess.filter(({ value }) => value < 0);
        const sum = (of: readonly number[]): number => of.reduce((total, value) => total + value, 0);
        expect(found).toMatchObject({ tokens: excess.length, negative: below.length });
        expect(found?.mean).toBeCloseTo(sum(excess.map(({ value }) => value)) / excess.length, 9);
        const mean = sum(excess.map(({ value }) => value)) / excess.length;
        const squares = sum(excess.map(({ value }) => (value - mean) ** 2));
        expect(found?.deviation).toBeCloseTo(Math.sqrt(squares / excess.length), 5);
        expect(found?.kept?.weight).toBeCloseTo(sum(excess.map(({ weight }) => weight)), 9);
        expect(found?.kept?.negative).toBeCloseTo(sum(below.map(({ weight }) => weight)), 9);
        const sorted = excess.map(({ value }) => value).sort((a, b) => a - b);
        for (const [q, value] of [
          [0.05, found?.low],
          [0.95, found?.high],
        ] as const) {
          const exact = sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1]!;
          expect(Math.abs(value! - exact)).toBeLessThanOrEqual(Math.abs(exact) / 128 + 1e-30);
        }
        if (excess.every(({ weight }) => weight === 0 || weight === 1)) {
          const kept = excess.filter(({ weight }) => weight === 1).map(({ value }) => value);
          expect(found?.kept?.lowest).toBe(kept.length === 0 ? null : Math.min(...kept));
        } else expect(found?.kept?.lowest).toBeNull();
      }),
    );
  });
});

describe('the doctor on groups of documents', () => {
  const group = (name: string, documents: number, tokens: number, rate: number): GroupFigures => ({
    name,
    documents,
    tokens,
    kept: rate * tokens,
  });
  const said = (by: string, groups: readonly GroupFigures[], domains = true): string[] => {
    const axis: GroupAxis = { by, domains, groups };
    return diagnose({ excess: null, groups: [axis], method: NO_METHOD }).map(({ message }) => message);
  };

  it('tells of one domain that supplies nearly all, and of those dropped whole', () => {
    expect(said('source', [group('a', 50, 10_000, 0.99), group('b', 50, 10_000, 0.1)])).toEqual([
      'source "a" supplies 90.8% of what is kept, and is 50% of the tokens',
    ]);
    expect(said('host', [group('a', 50, 10_000, 0.9), group('b\n"', 50, 10_000, 0.001)])).toEqual([
      'host "a" supplies 99.9% of what is kept, and is 50% of the tokens',
      'all 50 documents of host "b\\n\\"" (50% of the tokens) are dropped nearly whole: 0.1% of them is kept, of all tokens 45.1%',
    ]);
    expect(
      said(
        'document_tokens',
        [group('1', 400, 400, 0), group('32 to 63', 60, 3000, 0.6), group('64 to 127', 60, 6000, 0.6)],
        false,
      ),
    ).toEqual([
      'all 400 documents whose length in tokens is 1 (4.3% of the tokens) are dropped whole: 0% of them is kept, of all tokens 57.4%',
    ]);
  });

  it('has nothing against what is as it should be', () => {
    for (const groups of [
      [group('only', 100, 100_000, 0.6)],
      [group('a', 50, 10_000, 0.6), group('b', 50, 10_000, 0.6)],
      [group('a', 50, 10_000, 0.75), group('b', 50, 10_000, 0.45)],
      // Nearly all that is kept, because it is nearly all there is.
      [group('a', 970, 97_000, 0.61), group('b', 30, 3000, 0.3)],
      // One page of an own host, dropped; hosts of a share that nobody misses.
      [group('a', 50, 10_000, 0.6), group('page', 1, 500, 0)],
      [group('a', 5000, 1_000_000, 0.6), group('b', 3, 900, 0)],
      // So little is kept at all that none of it is no surprise.
      [group('a', 50, 10_000, 0.01), group('b', 5, 500, 0)],
    ])
      expect(said('source', groups)).toEqual([]);
  });

  it('tells the same documents under two names once', () => {
    const groups = [group('a', 50, 10_000, 0.9), group('b', 50, 10_000, 0)];
    const axes = ['source', 'shard'].map((by) => ({ by, domains: true, groups }));
    const found = diagnose({ excess: null, groups: axes, method: NO_METHOD });
    expect(found.map(({ code, figures }) => [code, figures['by']])).toEqual([
      ['one-domain', 'source'],
      ['class-dropped', 'source'],
    ]);
  });

  it('counts a document once, over rows and batches, with what it has no loss for left out', () => {
    const tally = createBatchTally(['source']);
    const row = (id: number, losses: readonly (number | null)[], documents: readonly [number, number][]) =>
      toBatch([{ id, reference_loss: losses, documents }], 0);
    tally.begin('web', (document) => ({ tokens: 5, names: [document === 3 ? 'x' : 'y'] }));
    tally.add(
      row(
        0,
        [null, 1, 1, 1],
        [
          [3, 2],
          [4, 2],
        ],
      ),
      Float32Array.of(0, 1, 0, 1),
    );
    tally.add(row(1, [1, 1, null], [[4, 3]]), Float32Array.of(1, 1, 0));
    tally.end();
    const { groups, excess } = tally.evidence();
    expect(excess).toBeNull();
    expect(groups).toEqual([
      {
        by: 'source',
        domains: true,
        groups: [
          { name: 'x', documents: 1, tokens: 1, kept: 1 },
          { name: 'y', documents: 1, tokens: 4, kept: 3 },
        ],
      },
      { by: 'shard', domains: true, groups: [{ name: 'web', documents: 2, tokens: 5, kept: 4 }] },
      {
        by: 'document_tokens',
        domains: false,
        groups: [{ name: '4 to 7', documents: 2, tokens: 5, kept: 4 }],
      },
    ]);
  });
});
