/**
 * Models, and what they are asked, that change under `eval`, `loglikelihood`, the service and `train`: what comes of it is the
 * answer of one of the two alone, or an error that names the file.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { evaluate } from '#tokensieve/evaluate/evaluate.js';
import { answerRequests } from '#tokensieve/evaluate/loglikelihood.js';
import { parseLoglikelihood } from '#tokensieve/evaluate/loglikelihood-settings.js';
import { evaluateSettings } from '#tokensieve/evaluate/settings.js';
import { packCorpus } from '#tokensieve/pack/pack-run.js';
import { parsePack } from '#tokensieve/pack/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { trainSchema } from '#tokensieve/train/settings.js';
import { trainRun } from '#tokensieve/train/train-run.js';
import { serviceHere } from '../service/in-process.js';
import { change, nobody, WAYS } from '../support/changed.js';
import { digestFolder } from '../support/cli.js';
import { perturbedCheckpoint } from '../support/perturbed.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const root = temporaryFolder();
const at = (...names: string[]): string => join(root, ...names);
const storage = localStorage();
const run = { threads: 1, cache: at('cache') };
let inputs: QuickstartInputs;
let other: string;

const documents = (word: string): Buffer =>
  Buffer.from(
    Array.from(
      { length: 40 },
      (_, i) => `${JSON.stringify({ text: `${word} of ${1000 + i} is a sum of numbers. `.repeat(8) })}\n`,
    ).join(''),
  );
const questions = (word: string): Buffer =>
  Buffer.from(
    Array.from(
      { length: 160 },
      (_, i) => `${JSON.stringify({ question: `${word} ${1000 + i}?`, answer: `It is ${i % 7}.` })}\n`,
    ).join(''),
  );
const requests = (word: string): Buffer =>
  Buffer.from(
    Array.from(
      { length: 160 },
      (_, i) => `${JSON.stringify({ context: `The number ${1000 + i} `, continuation: `is ${word}` })}\n`,
    ).join(''),
  );

beforeAll(async () => {
  inputs = await quickstartInputs(at('inputs'));
  other = perturbedCheckpoint(inputs.reference, at('other'), 1);
  writeFileSync(at('docs.jsonl'), documents('root'));
  const settings = {
    shards: [at('docs.jsonl')],
    tokenizer: { path: inputs.reference },
    sequence: { length: 64 },
  };
  const options = { storage, sink: () => undefined, signal: nobody(), replace: false };
  await packCorpus(parsePack({ ...settings, out: at('packed') }, 'test'), options);
  const term = at('term.jsonl');
  writeFileSync(term, documents('term'));
  await packCorpus(parsePack({ ...settings, shards: [term], out: at('packed-other') }, 'test'), options);
}, 60_000);

/** Called as work goes on: planned, then once for everything that is done. */
type Hook = (moment: 'begun' | 'going on') => void;

interface Subject {
  /** What changes, in the folder of one run. */
  readonly file: string;
  readonly before: () => Buffer;
  readonly after: () => Buffer;
  /** The answer, without times. */
  readonly run: (folder: string, hook: Hook) => Promise<unknown>;
}

const weights = {
  file: 'model/model.safetensors',
  before: () => readFileSync(join(inputs.reference, 'model.safetensors')),
  after: () => readFileSync(join(other, 'model.safetensors')),
};
const tokenizer = {
  file: 'model/tokenizer.json',
  before: () => readFileSync(join(inputs.reference, 'tokenizer.json')),
  after: () => Buffer.concat([readFileSync(join(inputs.reference, 'tokenizer.json')), Buffer.from('\n')]),
};

async function evaluated(folder: string, hook: Hook): Promise<unknown> {
  const settings = evaluateSettings.parse({
    model: join(folder, 'model'),
    held_out: { web: [join(folder, 'docs.jsonl')] },
    tasks: ['gsm8k'],
    task_data: join(folder, 'tasks'),
    corpus: { part_bytes: 3000 },
    score: { device: 'cpu', batch_tokens: 1024 },
    run,
  });
  const { results, tokensieve, ...rest } = (await evaluate(settings, {
    storage,
    signal: nobody(),
    sink: ({ event }) => {
      if (event === 'planned') hook('begun');
      if (event === 'progress') hook('going on');
    },
  })) as unknown as Record<string, Record<string, unknown>>;
  return JSON.parse(
    JSON.stringify({ results, tokensieve, rest }, (key, value) =>
      /seconds|time|date|path|digest|folder|model_name|^model$|source/.test(key) ? undefined : value,
    ),
  );
}

async function answered(folder: string, hook: Hook): Promise<unknown> {
  const out = join(folder, 'answers.jsonl');
  const settings = {
    requests: join(folder, 'requests.jsonl'),
    model: join(folder, 'model'),
    out,
    score: { device: 'cpu', batch_tokens: 1024 },
    run,
  };
  await answerRequests(parseLoglikelihood(settings, 'test'), {
    storage,
    signal: nobody(),
    sink: ({ event }) => {
      if (event === 'planned') hook('begun');
      if (event === 'progress') hook('going on');
    },
  });
  return readFileSync(out, 'utf8');
}

const trained =
  (stopAt?: number) =>
  async (folder: string, hook: Hook): Promise<unknown> => {
    const stop = new AbortController();
    await trainRun(
      trainSchema.parse({
        out: join(folder, 'out'),
        model: { start: join(folder, 'model') },
        data: { sources: [{ path: join(folder, 'data') }], shuffle_tokens: 512 },
        held_out: { sources: { web: join(folder, 'held-out') }, every: 2, tokens: 512 },
        batch: { rows: 2, steps: 4 },
        run: { device: 'cpu', threads: 1, checkpoint_every: 2 },
      }),
      {
        storage,
        signal: stop.signal,
        sink: (event) => {
          if (event.event === 'train-planned' && event.done === 0) hook('begun');
          if (event.event === 'step') hook('going on');
          if (event.event === 'step' && event.step === stopAt) stop.abort(new Error('stopped'));
        },
      },
    );
    const lines = readFileSync(join(folder, 'out/metrics.jsonl'), 'utf8').trimEnd().split('\n');
    return {
      model: digestFolder(join(folder, 'out/model')),
      steps: lines.map((line) => JSON.parse(line, (key, value) => (/second|crc32c/.test(key) ? 0 : value))),
    };
  };

const part = 'packed/docs.jsonl/00000.arrow';
const otherPart = (): Buffer => readFileSync(at('packed-other/packed/term.jsonl/00000.arrow'));
const subjects: Readonly<Record<string, Subject>> = {
  'the weights under eval': { ...weights, run: evaluated },
  'held-out documents of eval': {
    file: 'docs.jsonl',
    before: () => documents('root'),
    after: () => documents('term'),
    run: evaluated,
  },
  'questions of a task of eval': {
    file: 'tasks/gsm8k/test.jsonl',
    before: () => questions('How many is'),
    after: () => questions('How large is'),
    run: evaluated,
  },
  'the weights under loglikelihood': { ...weights, run: answered },
  'requests of loglikelihood': {
    file: 'requests.jsonl',
    before: () => requests('Count'),
    after: () => requests('Names'),
    run: answered,
  },
  'the first weights of training': { ...weights, run: trained() },
  'the tokenizer of training': { ...tokenizer, run: trained() },
  'the rows of training': {
    file: `data/${part}`,
    before: () => readFileSync(at(part.replace('packed/', 'packed/packed/'))),
    after: otherPart,
    run: trained(),
  },
  'the held-out rows of training': {
    file: `held-out/${part}`,
    before: () => readFileSync(at(part.replace('packed/', 'packed/packed/'))),
    after: otherPart,
    run: trained(),
  },
};

let runs = 0;
function prepare({ file }: Subject, bytes: Buffer): string {
  const folder = at(`run-${runs++}`);
  mkdirSync(join(folder, 'tasks/gsm8k'), { recursive: true });
  cpSync(inputs.reference, join(folder, 'model'), { recursive: true });
  for (const name of ['data', 'held-out']) cpSync(at('packed'), join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'docs.jsonl'), documents('root'));
  writeFileSync(join(folder, 'tasks/gsm8k/test.jsonl'), questions('How many is'));
  writeFileSync(join(folder, 'requests.jsonl'), requests('Count'));
  writeFileSync(join(folder, file), bytes);
  return folder;
}

/** Of one input alone; an input that its own manifest refuses has no answer. */
const clean = new Map<string, Promise<unknown>>();
const alone = (name: string, subject: Subject, which: 'before' | 'after'): Promise<unknown> => {
  const key = `${name}\n${which}`;
  const known =
    clean.get(key) ?? subject.run(prepare(subject, subject[which]()), () => undefined).catch(() => 'refused');
  clean.set(key, known);
  return known;
};

const REFUSED = /^(model-changed|object-changed|shard-changed|part-changed|other-settings)$/;

describe('what is asked, and who is asked, change under a command', () => {
  for (const [name, subject] of Object.entries(subjects)) {
    for (const way of WAYS) {
      it.each([
        ['once it has begun', 'begun', 1],
        ['in the middle', 'going on', 2],
      ] as const)(`${name}, ${way}, %s`, async (_, moment, times) => {
        const [one, two] = [await alone(name, subject, 'before'), await alone(name, subject, 'after')];
        expect(one).not.toEqual('refused');
        expect(two).not.toEqual(one);
        const folder = prepare(subject, subject.before());
        let seen = 0;
        const outcome = await subject
          .run(folder, (now) => {
            if (now === moment && ++seen === times) change(join(folder, subject.file), subject.after(), way);
          })
          .catch((error: unknown) => error);
        expect(seen).toBeGreaterThanOrEqual(times);
        if (outcome instanceof Error) {
          expect(outcome).toMatchObject({ code: expect.stringMatching(REFUSED) });
          expect(outcome.message).toContain(subject.file.split('/').at(-1));
        } else expect([one, two]).toContainEqual(outcome);
      });
    }
  }

  it.each(['the first weights of training', 'the tokenizer of training', 'the rows of training'])(
    '%s, before a resume',
    async (name) => {
      const subject = subjects[name];
      if (subject === undefined) throw new Error(name);
      for (const way of WAYS) {
        const folder = prepare(subject, subject.before());
        await expect(trained(2)(folder, () => undefined)).rejects.toThrow();
        change(join(folder, subject.file), subject.after(), way);
        const outcome = await subject.run(folder, () => undefined).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toMatchObject({ code: expect.stringMatching(REFUSED) });
        else
          expect([await alone(name, subject, 'before'), await alone(name, subject, 'after')]).toContainEqual(
            outcome,
          );
      }
    },
  );
});

describe('a service whose models change', () => {
  it.each(WAYS)('answers in the name of neither, %s', async (way) => {
    const folder = at(`served-${way.replace(' ', '-')}`);
    cpSync(inputs.reference, join(folder, 'reference'), { recursive: true });
    cpSync(inputs.current, join(folder, 'current'), { recursive: true });
    const pair = { name: 'pair', reference: join(folder, 'reference'), current: join(folder, 'current') };
    const open = () =>
      serviceHere({ models: [pair], score: { device: 'cpu', cache: run.cache } } as Parameters<
        typeof serviceHere
      >[0]);
    const service = await open();
    const texts = ['The sum of two numbers is a number.'];
    const score = async (ask: typeof service.ask) => {
      const { status, body } = await ask('POST', '/v1/score', { texts });
      return { status, results: body.results, code: body.error?.code };
    };
    const first = await score(service.ask);
    expect(first.status).toBe(200);
    const path = join(folder, 'reference/model.safetensors');
    const large = service.ask('POST', '/v1/score', { texts: [texts[0]?.repeat(200)] });
    change(path, readFileSync(join(other, 'model.safetensors')), way);
    // One that was under way is refused or was answered before.
    expect([200, 503]).toContain((await large).status);
    expect(await score(service.ask)).toMatchObject({ status: 503, code: 'model-changed' });
    await service.close();
    const next = await open();
    const anew = await score(next.ask);
    expect(anew.status).toBe(200);
    expect(anew.results).not.toEqual(first.results);
    rmSync(path);
    expect(await score(next.ask)).toMatchObject({ status: 503, code: 'model-changed' });
    await next.close();
  });
});
