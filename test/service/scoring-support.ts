/** Pairs of small real models, an app with the scoring routes, and what `tokensieve score` says of the same texts. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import Fastify from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { readSequences } from '#tokensieve/dataset/reader.js';
import type { App } from '#tokensieve/service/http/app.js';
import { sendError } from '#tokensieve/service/http/errors.js';
import type { Scoring } from '#tokensieve/service/scoring/open.js';
import { scoreRoutes } from '#tokensieve/service/scoring/routes.js';
import type { ScoreResponse } from '#tokensieve/service/scoring/schemas.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { writeRandomCheckpoint } from '../support/checkpoints.js';
import { filesBelow, runCli } from '../support/cli.js';
import { byteFallback, byteLevel } from '../tokenizer/support.js';

export interface TestPair {
  readonly name: string;
  readonly reference: string;
  readonly current: string;
}

/** `fallback` has BOS and EOS and puts a mark before a text; `bytes` cuts bytes and has EOS alone. */
export function writePairs(folder: string): { readonly fallback: TestPair; readonly bytes: TestPair } {
  const model = (name: string, seed: number, tokenizer: string, vocabulary: number): string => {
    const path = join(folder, name);
    mkdirSync(path, { recursive: true });
    writeRandomCheckpoint(path, {
      architecture: 'LlamaForCausalLM',
      seed,
      overrides: { vocab_size: vocabulary },
    });
    const json = JSON.parse(readFileSync(tokenizer, 'utf8'));
    const single = [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
    if (tokenizer === byteFallback) json.post_processor = { type: 'TemplateProcessing', single, pair: [] };
    writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(json));
    const eos_token = tokenizer === byteFallback ? '</s>' : '<|endoftext|>';
    writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify({ eos_token }));
    return path;
  };
  const pair = (name: string, seed: number, tokenizer: string, vocabulary: number): TestPair => ({
    name,
    reference: model(`${name}-reference`, seed, tokenizer, vocabulary),
    current: model(`${name}-current`, seed + 1, tokenizer, vocabulary),
  });
  return { fallback: pair('fallback', 11, byteFallback, 660), bytes: pair('bytes', 21, byteLevel, 656) };
}

/** Makes the embedding of one token not a number: every text that holds it scores NaN. */
export function poison(folder: string, id: number, width: number): void {
  const path = join(folder, 'model.safetensors');
  const bytes = readFileSync(path);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString());
  const [start] = header['model.embed_tokens.weight'].data_offsets;
  bytes.writeFloatLE(Number.NaN, 8 + headerBytes + start + id * width * 4);
  writeFileSync(path, bytes);
}

/** Texts of many lengths in tokens, with what trips tokenizers up. */
export const texts: readonly string[] = [
  'a',
  'The sum of the first n odd numbers is n squared.',
  'Let \\(x\\) satisfy \\[ x^2 - 5x + 6 = 0, \\quad \\alpha \\in \\mathbb{R} \\] so $x=2$ or $x=3$.',
  'naïve Ångström — “quoted” 你好，世界 👩‍👩‍👧‍👦 e\u0301 \u1e69 \u0000 \ufeff end',
  'control tokens: <s> </s> <unk> <|endoftext|> <|late|> are text',
  '  two  spaces\t\ttabs\n\n\nlines   ',
  'for (let i = 0; i < n; i++) {\n        total += values[i];\n}\n',
  '12345678901234567890 3.14159265358979 -1e-9',
  `${'Every prime above two is odd; '.repeat(40)}and so on.`,
  `${'\\frac{a}{b} + π ≈ 3.14159 🙂 '.repeat(60)}`,
  '\u00e9\u0065\u0301'.repeat(90),
  'x'.repeat(700),
  `${'Long enough for many rows. '.repeat(300)}`,
];

/** The scoring routes alone, on an app as the service sets it up. */
export async function listen(
  scoring: Scoring,
  options: Parameters<typeof scoreRoutes>[2] = {},
): Promise<{ readonly url: string; readonly app: App }> {
  const app = Fastify().withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply));
  scoreRoutes(app, scoring, options);
  await app.listen({ host: '127.0.0.1', port: 0 });
  return { app, url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}` };
}

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly body: ScoreResponse & { readonly error: { readonly code: string; readonly message: string } };
}

export async function post(url: string, body: unknown, signal?: AbortSignal): Promise<Answer> {
  const response = await fetch(`${url}/v1/score`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(signal && { signal }),
  });
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    body: (await response.json()) as Answer['body'],
  };
}

/** One document as the offline scorer stored it. */
export interface OfflineDocument {
  readonly ids: number[];
  /** NaN where there is none. */
  readonly reference: number[];
  readonly current: number[];
  readonly rows: number;
}

/** `tokensieve score` over the texts, one document a text, put together from its rows. */
export async function scoreOffline(
  pair: TestPair,
  documents: readonly string[],
  folder: string,
  length: number,
): Promise<OfflineDocument[]> {
  mkdirSync(folder, { recursive: true });
  const shard = join(folder, 'texts.jsonl');
  writeFileSync(shard, documents.map((text) => `${JSON.stringify({ text })}\n`).join(''));
  const out = join(folder, 'out');
  const { code, stderr } = await runCli([
    ...['score', '--shards', shard, '--reference', pair.reference, '--current', pair.current],
    ...['--out', out, '--packing', 'document', '--sequence-length', `${length}`, '--device', 'cpu'],
    ...['--cache', join(folder, 'cache')],
  ]);
  if (code !== 0) throw new Error(`tokensieve score ended with ${code}: ${stderr}`);
  const found = documents.map((): OfflineDocument & { rows: number } => ({
    ids: [],
    reference: [],
    current: [],
    rows: 0,
  }));
  const overlap = length >> 2;
  for (const path of filesBelow(out).filter((name) => /\/\d{5}\.arrow$/.test(name))) {
    for await (const batch of (await readSequences(localStorage(), path)).batches()) {
      for (let row = 0; row + 1 < batch.offsets.length; row++) {
        const document = found[Number(batch.segments.document[batch.segments.offsets[row]!])]!;
        const first = document.rows++ === 0 ? 0 : document.ids.length - overlap;
        for (let i = batch.offsets[row]!; i < batch.offsets[row + 1]!; i++) {
          const at = first + i - batch.offsets[row]!;
          document.ids[at] = batch.inputIds[i]!;
          const loss = batch.columns.reference_loss![i]!;
          if (document.reference[at] === undefined || !Number.isNaN(loss)) {
            document.reference[at] = loss;
            document.current[at] = batch.columns.current_loss![i]!;
          }
        }
      }
    }
  }
  return found;
}
