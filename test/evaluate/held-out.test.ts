import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { domainTallies, OTHER_DOMAINS } from '#tokensieve/evaluate/domains.js';
import type { LossSummary } from '#tokensieve/evaluate/estimate.js';
import { evaluateHeldOut, type HeldOutSettings } from '#tokensieve/evaluate/evaluate.js';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { writeRandomCheckpoint } from '../support/checkpoints.js';
import { type Checkpoint, readCheckpoint } from '../support/oracle/checkpoint.js';
import { lossesAcross } from '../support/oracle/oracle.js';
import { temporaryFolder } from '../support/quickstart.js';
import { bosId, byteIds, eosId, quietly, writeByteTokenizer, writeLines } from './support.js';

const folder = temporaryFolder();
const model = join(folder, 'model');
const LENGTH = 24;
const OVERLAP = 6;

const pages = [
  { url: 'https://a.example/1', text: 'a short page', topic: 'x' },
  {
    url: 'https://b.example/1',
    text: 'one that is longer than a row of the model, and so goes on in a second and a third row',
  },
  { url: 'https://a.example/2', text: 'y', topic: 'x' },
  { url: 'no url', text: 'neither short nor long', topic: 7 },
];
const broken = ['{"url": "https://a.example/3", "text": null}', 'not json'];

let oracle: Checkpoint;
beforeAll(async () => {
  writeRandomCheckpoint(model, {
    architecture: 'LlamaForCausalLM',
    seed: 11,
    overrides: { vocab_size: 261, max_position_embeddings: LENGTH },
  });
  await writeByteTokenizer(model);
  oracle = readCheckpoint(model);
  const [first, second, ...rest] = pages;
  writeLines(join(folder, 'corpus/one.jsonl'), [first!, broken[0]!, second!]);
  writeLines(join(folder, 'corpus/two.jsonl'), [broken[1]!, ...rest]);
});

interface Expected {
  readonly loss: number;
  readonly targets: number;
  readonly bytes: number;
}

/** A document alone in windows of LENGTH ids that repeat OVERLAP ids, every id's loss counted once. */
function documentAlone(text: string, { bos = true, eos = true } = {}): Expected {
  const ids = [...(bos ? [bosId] : []), ...byteIds(text), ...(eos ? [eosId] : [])];
  const losses: number[] = [Number.NaN];
  for (let start = 0; losses.length < ids.length; start += LENGTH - OVERLAP) {
    const window = ids.slice(start, start + LENGTH);
    const { loss } = lossesAcross(oracle, window);
    for (let at = losses.length - start; at < window.length; at++) losses.push(loss[at - 1]!);
  }
  const counted = losses.slice(1);
  // Without BOS the first byte has nothing to be predicted from.
  return {
    loss: counted.reduce((sum, loss) => sum + loss, 0),
    targets: counted.length,
    bytes: text.length - (bos ? 0 : 1),
  };
}

function expectSummary(found: LossSummary, documents: readonly Expected[]): void {
  const sum = (of: (one: Expected) => number): number => documents.reduce((total, one) => total + of(one), 0);
  const [loss, targets, bytes] = [sum((d) => d.loss), sum((d) => d.targets), sum((d) => d.bytes)];
  const error = (total: number, of: (one: Expected) => readonly [number, number]): number => {
    const mean = sum((d) => of(d)[0]) / total;
    const squares = sum((d) => (of(d)[0] - mean * of(d)[1]) ** 2);
    const clusters = documents.filter((d) => d.targets > 0).length;
    return Math.sqrt((clusters / (clusters - 1)) * squares) / total;
  };
  expect(found.documents).toBe(documents.length);
  expect(found.targets).toBe(targets);
  expect(found.bytes).toBe(bytes);
  expect(found.loss.value).toBeCloseTo(loss / targets, 5);
  expect(found.perplexity.value! / Math.exp(loss / targets)).toBeCloseTo(1, 5);
  expect(found.bitsPerByte.value).toBeCloseTo(loss / Math.LN2 / bytes, 5);
  if (documents.length < 2) {
    expect(found.loss.stderr).toBeNull();
    return;
  }
  expect(found.loss.stderr).toBeCloseTo(
    error(targets, (d) => [d.loss, d.targets]),
    5,
  );
  expect(found.bitsPerByte.stderr).toBeCloseTo(
    error(bytes, (d) => [d.loss / Math.LN2, d.bytes]),
    5,
  );
}

const held = (settings: HeldOutSettings = {}, sink?: (event: RunEvent) => void) =>
  evaluateHeldOut(
    model,
    { web: [join(folder, 'corpus/*.jsonl')] },
    {
      ...settings,
      sequence: { overlap: OVERLAP, ...settings.sequence },
      score: { device: 'cpu', ...settings.score },
      run: { cache: join(folder, 'cache'), threads: 1 },
    },
    quietly(sink),
  );

describe('held-out loss', () => {
  it('is the fp64 oracle’s over every document, with errors over documents and by host', async () => {
    const events: RunEvent[] = [];
    const { web } = await held({}, (event) => events.push(event));
    const every = pages.map(({ text }) => documentAlone(text));
    expectSummary(web!, every);
    expect(web!.tokens).toBe(pages.reduce((sum, { text }) => sum + text.length + 2, 0));
    expect([...web!.domains.keys()]).toEqual(['b.example', '(none)', 'a.example']);
    expectSummary(web!.domains.get('a.example')!, [every[0]!, every[2]!]);
    expectSummary(web!.domains.get('b.example')!, [every[1]!]);
    expectSummary(web!.domains.get('(none)')!, [every[3]!]);
    // What was unusable is counted and told, and the rest is measured.
    expect(web!.quarantined).toEqual({ 'null-text': 1, 'bad-json': 1 });
    const told = events.filter((event) => event.event === 'quarantined');
    expect(told.map(({ shard, row, reason }) => [shard, row, reason])).toEqual([
      ['one.jsonl', 1, 'null-text'],
      ['two.jsonl', 0, 'bad-json'],
    ]);
  });

  it('leaves out the first token and its bytes where there is no BOS, and EOS where it is no target', async () => {
    const { web } = await held({ sequence: { bos: false, eos: false } });
    // A page of one byte has no target; it is a document all the same.
    expectSummary(
      web!,
      pages.map(({ text }) => documentAlone(text, { bos: false, eos: false })),
    );
  });

  it('packed is one stream a shard, each id scored once', async () => {
    const { web } = await held({ sequence: { packing: 'packed' } });
    const documents: Expected[] = [];
    for (const shard of [pages.slice(0, 2), pages.slice(2)]) {
      const ids = shard.flatMap(({ text }) => [bosId, ...byteIds(text), eosId]);
      const losses: number[] = [Number.NaN];
      for (let start = 0; losses.length < ids.length; start += LENGTH - 1) {
        losses.push(...lossesAcross(oracle, ids.slice(start, start + LENGTH)).loss);
      }
      let at = 0;
      for (const { text } of shard) {
        const own = losses.slice(at + 1, at + text.length + 2);
        documents.push({ loss: own.reduce((a, b) => a + b, 0), targets: own.length, bytes: text.length });
        at += text.length + 2;
      }
    }
    expectSummary(web!, documents);
  });

  it('stops after the first documents of the set, over shards', async () => {
    const { web } = await held({ limit: 3 });
    expectSummary(
      web!,
      pages.slice(0, 3).map(({ text }) => documentAlone(text)),
    );
    expect(web!.quarantined).toEqual({ 'null-text': 1, 'bad-json': 1 });
  });

  it('is broken down by any column', async () => {
    const { web } = await held({ by: 'topic' });
    expect(web!.by).toBe('topic');
    expect(new Map([...web!.domains].map(([name, { documents }]) => [name, documents]))).toEqual(
      new Map([
        ['(none)', 1],
        ['7', 1],
        ['x', 2],
      ]),
    );
  });

  it('is the same, digit by digit, at a second run, and another for another text', async () => {
    const [one, two] = [await held(), await held()];
    expect(two).toEqual(one);
    expect((await held({ limit: 2 })).web!.textSha256).not.toBe(one.web!.textSha256);
  });

  it('refuses rows longer than the model takes, and sets without a shard', async () => {
    await expect(held({ sequence: { length: 4096 } })).rejects.toMatchObject({ code: 'sequence-too-long' });
    await expect(
      evaluateHeldOut(model, { web: [join(folder, 'nothing/*.jsonl')] }, {}, quietly()),
    ).rejects.toMatchObject({ code: 'no-shards', reach: 'usage' });
    await expect(evaluateHeldOut(model, { 'a/b': ['x'] }, {}, quietly())).rejects.toMatchObject({
      code: 'bad-settings',
    });
  });
});

it('domains beyond the most that are told apart count together', () => {
  const tallies = domainTallies(2);
  for (const [at, name] of ['a', 'b', 'c', 'a', 'd'].entries()) {
    tallies.add(name, { tokens: 3, targets: 2, bytes: 5, loss: at });
  }
  const found = new Map([...tallies.summaries()].map(([name, { documents }]) => [name, documents]));
  expect(found).toEqual(
    new Map([
      [OTHER_DOMAINS, 2],
      ['a', 2],
      ['b', 1],
    ]),
  );
});
