import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { prepareModel } from '#tokensieve/model/prepare.js';
import { planBatches } from '#tokensieve/score/batches.js';
import { openScorer, type Scorer } from '#tokensieve/score/scorer.js';
import { createPacker } from '#tokensieve/sequence/packing.js';
import type { Sequence } from '#tokensieve/sequence/sequence.js';
import { createEncoder } from '../../fixtures/bpe/encode.mjs';
import { rowsOf, shards } from '../../fixtures/quickstart/corpus.mjs';
import { defaults, makeQuickstart } from '../../fixtures/quickstart/make.mjs';

/** Bigrams of BOS … EOS, counted in the plainest way. */
class Counted {
  readonly #pairs = new Map<string, number>();
  readonly #before = new Map<number, number>();
  readonly #unigrams = new Map<number, number>();
  #total = 0;

  constructor(
    documents: readonly (readonly number[])[],
    readonly size: number,
  ) {
    for (const ids of documents) {
      const row = [0, ...ids, 1];
      for (let i = 1; i < row.length; i++) {
        const [a, b] = [row[i - 1]!, row[i]!];
        this.#pairs.set(`${a},${b}`, (this.#pairs.get(`${a},${b}`) ?? 0) + 1);
        this.#before.set(a, (this.#before.get(a) ?? 0) + 1);
        this.#unigrams.set(b, (this.#unigrams.get(b) ?? 0) + 1);
        this.#total++;
      }
    }
  }

  /** −ln p(b | a), nats. */
  loss(a: number, b: number): number {
    const prior = ((this.#unigrams.get(b) ?? 0) + 1) / (this.#total + this.size);
    const pair = this.#pairs.get(`${a},${b}`) ?? 0;
    return -Math.log((pair + defaults.strength * prior) / ((this.#before.get(a) ?? 0) + defaults.strength));
  }
}

let scorer: Scorer;
let made: Awaited<ReturnType<typeof makeQuickstart>>;

beforeAll(async () => {
  const out = await mkdtemp(join(tmpdir(), 'tokensieve-quickstart-'));
  made = await makeQuickstart(out);
  const prepare = (role: string) =>
    prepareModel(join(out, 'models', role), {
      device: 'cpu',
      attention: 'across',
      entropy: false,
      cacheFolder: join(out, 'cache'),
    });
  const models = { reference: await prepare('reference'), current: await prepare('current') };
  scorer = await openScorer({ models, device: 'cpu', threads: 1 });
});
afterAll(() => scorer?.close());

const length = 256;
const batchRules = {
  batchTokens: 2048,
  length,
  attention: 'across',
  fixedRows: false,
  windowBatches: 1,
} as const;

it('scores every token with the counted bigram probability, under both models', async () => {
  const encode = createEncoder(made.bpe);
  const idsOf = (folder: string): number[][] =>
    shards
      .filter(({ path }) => path.startsWith(`${folder}/`))
      .flatMap((shard) => rowsOf(shard, defaults.seed).map(({ text }) => encode(text)));
  const size = made.bpe.tokens.length;
  const counted = {
    reference: new Counted(idsOf('clean'), size),
    current: new Counted(idsOf('noisy'), size),
  };
  const packer = createPacker({
    length,
    packing: 'packed',
    attention: 'across',
    overlap: 64,
    bosId: 0,
    eosId: 1,
    eosEligible: true,
  });
  const sequences: Sequence[] = idsOf('held-out')
    .slice(0, 30)
    .flatMap((ids, row) =>
      packer.push({
        row,
        ids: Int32Array.from(ids),
        textBytes: 0,
        offsets: () => ({ byteStart: new Int32Array(ids.length), byteEnd: new Int32Array(ids.length) }),
      }),
    );
  sequences.push(...packer.finish());

  const worst = { reference: 0, current: 0 };
  let tokens = 0;
  for (const batch of planBatches(sequences, batchRules)) {
    for (const scored of await scorer.score(batch)) {
      const { ids, eligible } = scored.sequence;
      for (let i = 1; i < ids.length; i++) {
        if (eligible[i] === 0) continue;
        tokens++;
        for (const role of ['reference', 'current'] as const) {
          const error = Math.abs(scored[role]!.loss[i]! - counted[role].loss(ids[i - 1]!, ids[i]!));
          worst[role] = Math.max(worst[role], error);
        }
      }
    }
  }
  expect(tokens).toBeGreaterThan(10_000);
  expect(worst.reference).toBeLessThan(1e-5);
  expect(worst.current).toBeLessThan(1e-5);
});
