/** URLs that hold a password, a signature and a token, given to every command that takes one: no output has any of them. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { redacted, withoutSecrets } from '#tokensieve/redacted.js';
import { cliHere } from '../support/cli-here.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const SECRETS = ['PASSWORD-1', 'SIGNATURE-2', 'TOKEN-3'];
const QUERY = '?X-Amz-Signature=SIGNATURE-2&token=TOKEN-3';
const folder = temporaryFolder();
const lines = `${JSON.stringify({ text: 'the sum of two and three is five', id: 1 })}\n`.repeat(4);

/** Answers with a shard where the path is one, in ranges as asked; else 404. */
const server = createServer(({ url = '', headers, method }, response) => {
  if (!url.startsWith('/good')) {
    response.writeHead(404).end('no');
    return;
  }
  const bytes = Buffer.from(lines);
  const [, from = '', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
  if (from === '') {
    response
      .writeHead(200, { 'content-length': bytes.length, etag: '"1"' })
      .end(method === 'HEAD' ? '' : bytes);
    return;
  }
  const part = bytes.subarray(Number(from), to === '' ? bytes.length : Number(to) + 1);
  response
    .writeHead(206, {
      'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`,
      'content-length': part.length,
      etag: '"1"',
    })
    .end(part);
});
let inputs: QuickstartInputs;
let host: string;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  inputs = await quickstartInputs(join(folder, 'inputs'));
  mkdirSync(join(folder, 'out'));
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const written = (): string =>
  readdirSync(join(folder, 'out'), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, 'out', name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, 'latin1'))
    .join('\n');

it('no command tells them, in text, JSON, logs or files', { timeout: 240_000 }, async () => {
  const good = `http://user:PASSWORD-1@${host}/good.jsonl${QUERY}`;
  const bad = `http://user:PASSWORD-1@${host}/bad.jsonl${QUERY}`;
  const to = (name: string) => ['--out', join(folder, 'out', name)];
  const model = ['--reference', inputs.reference, '--sequence-length', '64'];
  const packed = join(folder, 'out', 'packed');
  const yaml = join(folder, 'pipe.yaml');
  writeFileSync(
    yaml,
    JSON.stringify({
      shards: [good],
      reference: inputs.reference,
      out: join(folder, 'out/run'),
      sequence: { length: 64 },
    }),
  );
  const commands: string[][] = [
    ['pack', '--shards', good, '--tokenizer', inputs.reference, '--sequence-length', '64', ...to('packed')],
    ['score', '--shards', good, ...model, ...to('scored')],
    ['score', '--shards', bad, ...model, ...to('none')],
    ['run', yaml],
    ['run', bad],
    ['plan', yaml],
    ['plan', yaml, '--json'],
    ['status', join(folder, 'out/scored'), '--json'],
    ['inspect', good, '--json'],
    ['inspect', bad],
    ['inspect', packed, '--json'],
    ['verify', packed, '--json'],
    ['verify', bad],
    ['diff', packed, bad],
    ['select', bad],
    ['audit', bad],
    ['audit', join(folder, 'out/scored'), '--json', '--shards', good],
    ['audit', join(folder, 'out/scored'), '--shards', bad],
    ['export', join(folder, 'out/scored'), '--to', 'jsonl', ...to('exported')],
    ['export', packed, '--to', 'jsonl', '--shards', bad, ...to('none')],
    ['export', packed, '--to', 'nanogpt', '--out', bad],
    ['import', packed, '--losses', bad, ...to('imported')],
    [
      'eval',
      '--model',
      inputs.reference,
      '--held-out',
      `web=${good}`,
      '--sequence-length',
      '64',
      ...to('eval.json'),
    ],
    ['eval', '--model', bad, '--held-out', `web=${bad}`, '--json'],
    ['loglikelihood', bad, '--model', inputs.reference, ...to('answers.jsonl')],
    ['grade', bad, '--task', 'gsm8k'],
    ['train', '--start', inputs.reference, '--data', bad, '--steps', '1', ...to('trained')],
    ['train', '--start', inputs.reference, '--data', packed, '--steps', '1', '--out', bad],
    ['model', 'info', bad],
    ['enqueue', yaml, '--redis', `redis://user:PASSWORD-1@${host}/0${QUERY}`],
    ['queue', 'status', '--redis', `redis://user:PASSWORD-1%zz@${host}`],
    ['worker', '--redis', `http://user:PASSWORD-1@${host}${QUERY}`],
    ['serve', '--root', bad],
    ['doctor', bad],
    ['score', bad],
  ];
  for (const command of commands) {
    const { stdout, stderr } = await cliHere([
      ...command,
      ...(['pack', 'score', 'run', 'eval'].includes(command[0] as string) ? ['--log', 'json'] : []),
    ]);
    for (const secret of SECRETS)
      expect(`${stdout}${stderr}`.includes(secret), `${command.join(' ')}\n${stdout}${stderr}`).toBe(false);
  }
  const files = written();
  expect(files).toContain('good.jsonl');
  for (const secret of SECRETS) expect(files.includes(secret), secret).toBe(false);
});

it.each([
  ['http://u:p@ss@h/x', 'http://…@h/x'],
  ['https://h/x#access_token=S', 'https://h/x#…'],
  ['https://h/x#part', 'https://h/x#part'],
  ['https://h/x?page=3', 'https://h/x?…', 'https://h/x?page=3'],
  ['https://h/x?page=3&sig=S', 'https://h/x?…'],
  ['redis://[user:password@]host[:port]', 'redis://[user:password@]host[:port]'],
  ['hf://datasets/a/b@main/c', 'hf://datasets/a/b@main/c'],
])('%s is told as %s', (text, told, withData = told) => {
  expect(redacted(`a ${text} b`)).toBe(`a ${told} b`);
  expect(withoutSecrets(`a ${text} b`)).toBe(`a ${withData} b`);
});
