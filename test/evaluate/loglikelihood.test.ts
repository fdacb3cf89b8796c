import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { type NumberedPrompt, scorePrompts } from '#tokensieve/evaluate/continuations.js';
import { answerRequests } from '#tokensieve/evaluate/loglikelihood.js';
import { parseLoglikelihood } from '#tokensieve/evaluate/loglikelihood-settings.js';
import { openExaminee } from '#tokensieve/evaluate/open.js';
import { rollingRows } from '#tokensieve/evaluate/request-rows.js';
import { requestsOf } from '#tokensieve/evaluate/requests.js';
import { evaluateSequence } from '#tokensieve/evaluate/settings.js';
import { strippedContext } from '#tokensieve/evaluate/stripped-context.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { runCli } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';

const folder = temporaryFolder();
let files = 0;
const write = (lines: readonly unknown[]): string => {
  const path = join(folder, `requests-${files++}.jsonl`);
  writeFileSync(
    path,
    lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''),
  );
  return path;
};

interface Line {
  readonly line: number;
  readonly request: number;
  readonly logprob: number;
  readonly is_greedy: boolean;
  readonly tokens: number;
  readonly token_ids: number[];
  readonly token_logprobs: number[];
  readonly dropped_context: number;
  readonly error?: string;
  readonly id?: unknown;
}
async function answer(
  lines: readonly unknown[],
  model: string,
  length?: number,
  bos?: boolean,
): Promise<Line[]> {
  const requests = write(lines);
  const out = `${requests}.out`;
  const settings = parseLoglikelihood(
    {
      ...{ requests, model, out, score: { device: 'cpu' } },
      sequence: { ...(length !== undefined && { length }), ...(bos !== undefined && { bos }) },
    },
    'test',
  );
  await answerRequests(settings, {
    storage: localStorage(),
    sink: () => undefined,
    signal: new AbortController().signal,
  });
  return readFileSync(out, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

interface Golden {
  readonly weights_sha256: string;
  readonly max_length: number;
  readonly loglikelihood: readonly {
    readonly context: string;
    readonly continuation: string;
    readonly logprob: number;
    readonly is_greedy: boolean;
  }[];
  readonly rolling: readonly { readonly text: string; readonly logprob: number; readonly tokens: number[] }[];
}
const golden = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../fixtures/evaluate/loglikelihood.json', import.meta.url)), 'utf8'),
) as Golden;

describe.skipIf(!hasSharedData)('requests that lm-evaluation-harness itself answered', () => {
  const model = join(sharedData, 'models/stories260K-hf');

  it('pairs: the same sums and the same verdicts, cut contexts too', async () => {
    const weights = readFileSync(join(model, 'model.safetensors'));
    expect(createHash('sha256').update(weights).digest('hex')).toBe(golden.weights_sha256);
    const asked = golden.loglikelihood.map(({ context, continuation }) => ({ context, continuation }));
    const answers = await answer(asked, model, golden.max_length);
    expect(answers.length).toBe(golden.loglikelihood.length);
    let cut = 0;
    for (const [i, found] of answers.entries()) {
      const expected = golden.loglikelihood[i];
      expect(found.line).toBe(i);
      expect(Math.abs(found.logprob - (expected?.logprob ?? Number.NaN)), `request ${i}`).toBeLessThan(1e-4);
      expect(found.is_greedy, `request ${i}`).toBe(expected?.is_greedy);
      expect(found.token_logprobs.reduce((sum, one) => sum + one, 0)).toBeCloseTo(found.logprob, 9);
      if (found.dropped_context > 0) cut++;
    }
    expect(golden.loglikelihood.some(({ is_greedy }) => is_greedy)).toBe(true);
    expect(cut).toBeGreaterThan(0);
  });

  it('whole texts: the same windows, ids and sums', async () => {
    const answers = await answer(
      golden.rolling.map(({ text }) => ({ text })),
      model,
      golden.max_length,
    );
    for (const [i, found] of answers.entries()) {
      const expected = golden.rolling[i];
      expect(found.token_ids).toEqual(expected?.tokens);
      expect(Math.abs(found.logprob - (expected?.logprob ?? Number.NaN)), `text ${i}`).toBeLessThan(1e-4);
    }
    expect(Math.max(...golden.rolling.map(({ tokens }) => tokens.length))).toBeGreaterThan(golden.max_length);
  });
});

describe('forms and faults', () => {
  let inputs: QuickstartInputs;
  beforeAll(async () => {
    inputs = await quickstartInputs(join(folder, 'inputs'));
  });

  it('every form of one request has one answer; names are passed on', async () => {
    const [context, continuation] = ['Lesson 1. ', 'Two and two'];
    const lines = [
      { context, continuation, id: 'a' },
      { arguments: [context, continuation], idx: 3 },
      {
        doc_id: 7,
        arguments: {
          gen_args_1: { arg_0: context, arg_1: 'x' },
          gen_args_0: { arg_0: context, arg_1: continuation },
        },
      },
      { arguments: [[context, continuation]] },
      { text: continuation },
      { arguments: [continuation] },
    ];
    const answers = await answer(lines, inputs.reference);
    expect(answers.map(({ line, request }) => [line, request])).toEqual([
      [0, 0],
      [1, 0],
      [2, 0],
      [2, 1],
      [3, 0],
      [4, 0],
      [5, 0],
    ]);
    const [first, second, third, other, fourth, text, same] = answers;
    for (const one of [second, third, fourth]) expect(one?.token_logprobs).toEqual(first?.token_logprobs);
    expect(other?.token_ids).not.toEqual(first?.token_ids);
    expect(same?.token_logprobs).toEqual(text?.token_logprobs);
    expect([first?.id, (second as unknown as { idx: number }).idx]).toEqual(['a', 3]);
  });

  it('a text without a token has an answer of nothing, and takes none of another’s', async () => {
    const texts = ['', 'Two and two', '', 'A lesson', 'Menu'];
    const alone = await Promise.all(
      texts.map(async (text) => (await answer([{ text }], inputs.reference, undefined, false))[0]),
    );
    const together = await answer(
      texts.map((text) => ({ text })),
      inputs.reference,
      undefined,
      false,
    );
    expect(together.map(({ line }) => line)).toEqual([0, 1, 2, 3, 4]);
    expect(together.map(({ token_logprobs }) => token_logprobs)).toEqual(
      alone.map((one) => one?.token_logprobs),
    );
    expect(together[0]?.token_logprobs).toEqual([]);
    expect(together[1]?.tokens).toBeGreaterThan(2);
  });

  it('requests are not written over', async () => {
    const requests = write([{ text: 'Two' }]);
    const settings = parseLoglikelihood({ requests, model: inputs.reference, out: requests }, 'test');
    const run = { storage: localStorage(), sink: () => undefined, signal: new AbortController().signal };
    await expect(answerRequests(settings, run)).rejects.toMatchObject({ code: 'out-is-input' });
    expect(readFileSync(requests, 'utf8')).toContain('Two');
  });

  it('greedy is told by the model’s own likeliest tokens', async () => {
    const ask = async (continuation: string): Promise<Line | undefined> =>
      (await answer([{ context: 'The', continuation }], inputs.reference))[0];
    // The likeliest of all pieces is greedy, and no other is.
    const json = JSON.parse(readFileSync(join(inputs.reference, 'tokenizer.json'), 'utf8')) as {
      model: { vocab: Record<string, number> };
    };
    const letters = Object.keys(json.model.vocab)
      .filter((piece) => /^[Ġ!-~]+$/.test(piece))
      .map((piece) => ({ context: 'The', continuation: piece.replaceAll('Ġ', ' ') }));
    const answers = await answer(letters, inputs.reference);
    const greedy = answers.filter(({ is_greedy, tokens }) => is_greedy && tokens === 1);
    const best = Math.max(...answers.filter(({ tokens }) => tokens === 1).map(({ logprob }) => logprob));
    for (const one of greedy) expect(one.logprob).toBe(best);
    expect(new Set(greedy.map(({ token_ids }) => token_ids[0])).size).toBe(1);
    expect((await ask('zq'))?.is_greedy).toBe(false);
  });

  it('an evaluation parts a choice from its context as a request is parted', async () => {
    const contexts = ['Two and\u0085', 'Two and\ufeff', 'Two and \t'];
    const asked = await answer(
      contexts.map((context) => ({ context, continuation: ' two' })),
      inputs.reference,
    );
    const sections = { tokenizer: {}, sequence: { length: 64 }, score: { device: 'cpu' } } as const;
    const { tokenizer, score, run } = parseLoglikelihood(
      { ...sections, requests: 'x', model: inputs.reference, out: 'y' },
      'test',
    );
    const sequence = evaluateSequence.parse(sections.sequence);
    const examinee = await openExaminee({
      model: inputs.reference,
      tokenizer: { ...tokenizer, control_tokens: 'special' },
      sequence,
      score,
      run,
    });
    const targets: (number | undefined)[] = [];
    try {
      async function* prompts(): AsyncGenerator<NumberedPrompt> {
        for (const [row, context] of contexts.entries())
          yield { row, lineBytes: 1, prompt: { context, choices: ['two'], answer: 0 } };
      }
      for await (const { continuations } of scorePrompts(prompts(), examinee, 'test', () => undefined))
        targets.push(continuations[0]?.targets);
    } finally {
      await examinee.close();
    }
    expect(targets).toEqual(asked.map(({ tokens }) => tokens));
    // U+0085 is white space for Python alone, U+FEFF for JavaScript alone.
    expect(targets[0]).toBeGreaterThan(targets[1] ?? Infinity);
  });

  it('bad lines have an answer that says what is wrong, at their place, and exit code 3', async () => {
    const requests = write([
      { context: 'The', continuation: ' lesson' },
      '{"context": "a"',
      { context: 'a' },
      { context: 'a', continuation: '' },
      { arguments: [['a', 1]] },
      '[1]',
      { context: 'The', continuation: ' cat' },
    ]);
    const out = join(folder, 'bad.out');
    const args = [
      'loglikelihood',
      requests,
      '--model',
      inputs.reference,
      '--out',
      out,
      '--log',
      'none',
      '--device',
      'cpu',
    ];
    const { code, stdout } = await runCli(args);
    expect(code).toBe(3);
    expect(stdout).toMatch(/^answered 2 requests/);
    const lines = readFileSync(out, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
    expect(lines.map(({ line }) => line)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(lines.map(({ error }) => error?.split(':')[0])).toEqual([
      undefined,
      'bad-json',
      'bad-item',
      'oversized-item',
      'bad-item',
      'bad-item',
      undefined,
    ]);
    const missing = await cliHere([...args.slice(0, 1), join(folder, 'none'), ...args.slice(2)]);
    expect(missing.code).toBe(2);
  });
});

describe('rules', () => {
  it('windows of a text cover each token once, in full rows, the last one with all the context there is', () => {
    const ids = Int32Array.from({ length: 23 }, (_, i) => i + 10);
    const rows = rollingRows(ids, { prefixId: 2 }, 9);
    expect(rows.map(({ ids: row, targets }) => [row.length, targets])).toEqual([
      [9, 8],
      [9, 8],
      [9, 7],
    ]);
    expect(rows.flatMap(({ ids: row, targets }) => [...row.subarray(row.length - targets)])).toEqual([
      ...ids,
    ]);
    expect(rows[1]?.ids[0]).toBe(rows[0]?.ids.at(-1));
    expect(rollingRows(Int32Array.of(1, 10, 11), { prefixId: 1 }, 9)[0]?.ids).toEqual(
      Int32Array.from([1, 1, 10, 11]),
    );
  });

  it('white space is Python’s', () => {
    expect(strippedContext('a \t\n\u0085\u001c\u3000')).toBe('a');
    expect(strippedContext('a\ufeff')).toBe('a\ufeff');
    expect(strippedContext('  ')).toBe('');
  });

  it('settings that a request has no use for are no settings of it', () => {
    const given = { requests: 'x', model: 'm', out: 'y' };
    for (const sequence of [{ packing: 'packed' }, { overlap: 3 }, { attention: 'within' }, { eos: false }]) {
      expect(() => parseLoglikelihood({ ...given, sequence }, 'test')).toThrow(/sequence/);
    }
  });

  it('what is no request is told', () => {
    for (const value of [
      null,
      3,
      [],
      {},
      { text: 1 },
      { arguments: {} },
      { arguments: [] },
      { arguments: [[]] },
    ]) {
      expect(typeof requestsOf(value), JSON.stringify(value)).toBe('string');
    }
  });
});
