import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { EvaluateOptions } from '#tokensieve/evaluate/evaluate.js';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { bosToken, eosToken, writeTokenizer } from '../../fixtures/bpe/tokenizer-files.mjs';
import { trainBpe } from '../../fixtures/bpe/train.mjs';
import { writeBigramCheckpoint } from '../../fixtures/quickstart/bigram-checkpoint.mjs';

/** A vocabulary of single bytes: the ids of a text are known without a tokenizer. */
export const byteVocabulary = trainBpe(['a'], { size: 258, specials: [bosToken, eosToken] });
export const bosId = byteVocabulary.tokens.indexOf(bosToken);
export const eosId = byteVocabulary.tokens.indexOf(eosToken);

export const writeByteTokenizer = (folder: string): Promise<void> => writeTokenizer(folder, byteVocabulary);

/** Ids of a text of ASCII, by the vocabulary's own list. */
export const byteIds = (text: string): number[] =>
  Array.from(text, (character) =>
    byteVocabulary.tokens.indexOf({ ' ': 'Ġ', '\n': 'Ċ' }[character] ?? character),
  );

/** Chance of the letter that follows in the alphabet, in the alphabet model; the others share the rest evenly. */
export const NEXT = 0.5;
const size = byteVocabulary.tokens.length;

/** −ln p(b | a) of the alphabet model, nats: known in closed form. */
export function alphabetLoss(a: string, b: string): number {
  const follows = /^[a-y]$/.test(a) && b.charCodeAt(0) === a.charCodeAt(0) + 1;
  const known = /^[a-y]$/.test(a);
  return -Math.log(known ? (follows ? NEXT : (1 - NEXT) / (size - 1)) : 1 / size);
}

/** A model that knows the alphabet and nothing else: after a comes b with chance NEXT, after z or a sign anything. */
export async function writeAlphabetModel(folder: string): Promise<void> {
  const table = new Float64Array(size * size).fill(Math.log(1 / size));
  for (let code = 97; code < 122; code++) {
    const [a, b] = byteIds(String.fromCharCode(code, code + 1));
    table.fill(Math.log((1 - NEXT) / (size - 1)), a! * size, (a! + 1) * size);
    table[a! * size + b!] = Math.log(NEXT);
  }
  await writeBigramCheckpoint(folder, table, { size, bosId, eosId, maxPositions: 512 });
  await writeByteTokenizer(folder);
}

export function writeLines(path: string, lines: readonly (object | string)[]): void {
  mkdirSync(dirname(path), { recursive: true });
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  writeFileSync(path, `${text.join('\n')}\n`);
}

export const taskPath = (folder: string, task: string): string => join(folder, task, 'test.jsonl');

export function quietly(sink: (event: RunEvent) => void = () => undefined): EvaluateOptions {
  return { storage: localStorage(), sink, signal: new AbortController().signal };
}
