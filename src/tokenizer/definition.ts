import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { fatalError, firstLine } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import { utf8Text } from '../utf8.js';

/** Larger than any published tokenizer.json (Gemma's is 33 MB), small enough to parse. */
const MAX_FILE_BYTES = 256 * 2 ** 20;

/** A normalizer or pre-tokenizer as the file writes it: a `type` and whatever that type takes. */
export interface Component {
  readonly type: string;
  readonly [setting: string]: unknown;
}

/** The components of a normalizer or pre-tokenizer, its sequences opened. */
export function flatten(component: Component | null): readonly Component[] {
  if (component === null) return [];
  if (component.type !== 'Sequence') return [component];
  const members = component['normalizers'] ?? component['pretokenizers'];
  return Array.isArray(members) ? members.flatMap((member: Component | null) => flatten(member)) : [];
}

/** A token that is looked for in the text before the model sees it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Matches only between characters that are not of a word. */
  readonly single_word: boolean;
  /** Swallows the white space on its left (right). */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Is looked for in the normalized text, in its own normalized form. */
  readonly normalized: boolean;
  /** A control token. */
  readonly special: boolean;
}

/** Byte pair encoding. */
export interface BpeModel {
  readonly type: 'BPE';
  readonly vocab: ReadonlyMap<string, number>;
  /** In order of rank. */
  readonly merges: readonly (readonly [string, string])[];
  readonly unkToken: string | null;
  readonly fuseUnk: boolean;
  readonly byteFallback: boolean;
  /** A whole word that is in the vocabulary is taken as it is, whatever the merges say. */
  readonly ignoreMerges: boolean;
  readonly continuingSubwordPrefix: string;
  readonly endOfWordSuffix: string;
}

/** SentencePiece's unigram model: the likeliest of all ways to cut a text into pieces (Kudo 2018). */
export interface UnigramModel {
  readonly type: 'Unigram';
  /** The id is the place in the file's list. */
  readonly vocab: ReadonlyMap<string, number>;
  /** [pieces] ln p of each piece, by id. */
  readonly scores: readonly number[];
  readonly unkId: number | null;
  readonly byteFallback: boolean;
}

export type Model = BpeModel | UnigramModel;

/** What of a tokenizer.json decides the ids of a text, with every default filled in. */
export interface Definition {
  /** Path of the file, for messages. */
  readonly path: string;
  readonly normalizer: Component | null;
  readonly preTokenizer: Component | null;
  readonly model: Model;
  readonly addedTokens: readonly AddedToken[];
  /** Says what the tokenizer's own encoding puts around a text; takes no part in encoding here. */
  readonly postProcessor: unknown;
  /** Whether the file has a component ByteLevel anywhere, its decoder included. */
  readonly mentionsByteLevel: boolean;
}

const flag = z.boolean().nullish();
const component = z.looseObject({ type: z.string() }).nullish();
const frame = z.looseObject({
  normalizer: component,
  pre_tokenizer: component,
  post_processor: z.unknown().optional(),
  added_tokens: z
    .array(
      z.object({
        id: z.number().int().nonnegative(),
        content: z.string().min(1),
        single_word: flag,
        lstrip: flag,
        rstrip: flag,
        normalized: flag,
        special: flag,
      }),
    )
    .nullish(),
  model: z.looseObject({
    type: z.string().nullish(),
    vocab: z.unknown(),
    merges: z.unknown().optional(),
    dropout: z.number().nullish(),
    unk_token: z.string().nullish(),
    unk_id: z.number().int().nonnegative().nullish(),
    fuse_unk: flag,
    byte_fallback: flag,
    ignore_merges: flag,
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
  }),
});

/** The tokenizer.json that `path` means: itself, or the one in that folder. */
export async function tokenizerFile(
  path: string,
): Promise<{ readonly file: string; readonly folder: string }> {
  const found = await stat(path).catch(() => null);
  if (found === null) {
    throw fatalError(
      'no-tokenizer',
      `${path}: no such file or folder; name a tokenizer.json or the folder that holds one`,
    );
  }
  const file = found.isDirectory() ? join(path, 'tokenizer.json') : path;
  const inside = found.isDirectory() ? await stat(file).catch(() => null) : found;
  if (inside === null) {
    throw fatalError(
      'no-tokenizer',
      `${path}: the folder holds no tokenizer.json; export one with the tokenizers library`,
    );
  }
  // A pipe would be waited for, and a device has no end.
  if (!inside.isFile()) throw bad(file, 'is not a plain file');
  if (inside.size > MAX_FILE_BYTES) {
    throw fatalError(
      'bad-tokenizer',
      `${file}: ${inside.size} bytes, expected at most ${MAX_FILE_BYTES} for a tokenizer.json`,
    );
  }
  return { file, folder: dirname(file) };
}

/**
 * Reads a tokenizer.json and fills in what older files leave out (GPT-2's has no `model.type`; merges are strings
 * or pairs). Throws a fatal `bad-tokenizer` for what is not one, `unsupported-tokenizer` for another model type.
 */
export async function readDefinition(file: string): Promise<Definition> {
  const bytes = await readFile(file);
  let text: string;
  try {
    text = utf8Text(bytes);
  } catch (cause) {
    throw bad(file, firstLine(cause), cause);
  }
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (cause) {
    throw bad(file, `not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  return parseDefinition(file, json, text);
}

/** `text` is what `json` was parsed from: only there can a key that is written twice be seen. */
export function parseDefinition(path: string, json: unknown, text = ''): Definition {
  const parsed = frame.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw bad(path, `not a tokenizer.json: ${issue?.path.join('.') || 'the file'}: ${issue?.message}`);
  }
  const { model, added_tokens, normalizer, pre_tokenizer, post_processor } = parsed.data;
  const type = model.type ?? (model.merges === undefined ? 'of no stated type and without merges' : 'BPE');
  if (type !== 'BPE' && type !== 'Unigram') {
    throw fatalError(
      'unsupported-tokenizer',
      `${path}: model is ${type}, expected BPE or Unigram: causal language models use nothing else`,
    );
  }
  if (model.dropout) {
    throw fatalError(
      'unsupported-tokenizer',
      `${path}: model.dropout is ${model.dropout}, so that a text has no one tokenization; set it to null`,
    );
  }
  const addedTokens = (added_tokens ?? []).map((token) => ({
    id: token.id,
    content: token.content,
    single_word: token.single_word ?? false,
    lstrip: token.lstrip ?? false,
    rstrip: token.rstrip ?? false,
    normalized: token.normalized ?? !token.special,
    special: token.special ?? false,
  }));
  const read: Model =
    type === 'Unigram'
      ? readUnigram(path, model)
      : {
          type,
          vocab: readVocabulary(path, model.vocab),
          merges: readMerges(path, model.merges),
          unkToken: model.unk_token ?? null,
          fuseUnk: model.fuse_unk ?? false,
          byteFallback: model.byte_fallback ?? false,
          ignoreMerges: model.ignore_merges ?? false,
          continuingSubwordPrefix: model.continuing_subword_prefix ?? '',
          endOfWordSuffix: model.end_of_word_suffix ?? '',
        };
  if (read.type === 'BPE') refuseRepeatedKeys(path, text, read.vocab, addedTokens);
  return {
    path,
    normalizer: normalizer ?? null,
    preTokenizer: pre_tokenizer ?? null,
    model: read,
    addedTokens,
    postProcessor: post_processor ?? null,
    mentionsByteLevel: text.includes('"ByteLevel"'),
  };
}

function readVocabulary(path: string, vocab: unknown): Map<string, number> {
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab)) {
    throw bad(path, 'model.vocab is not an object of pieces and ids');
  }
  // A Map, because a piece may be called "__proto__".
  const pieces = new Map<string, number>();
  const owner = new Map<number, string>();
  for (const [piece, id] of Object.entries(vocab)) {
    if (!Number.isInteger(id) || id < 0 || id >= 2 ** 31) {
      throw bad(
        path,
        `model.vocab gives ${JSON.stringify(piece)} the id ${JSON.stringify(id)}, expected a whole number from 0`,
      );
    }
    const other = owner.get(id);
    if (other !== undefined) {
      throw bad(
        path,
        `model.vocab gives ${JSON.stringify(other)} and ${JSON.stringify(piece)} the same id ${id}; the file is damaged`,
      );
    }
    owner.set(id, piece);
    pieces.set(piece, id);
  }
  if (pieces.size === 0) throw bad(path, 'model.vocab is empty');
  return pieces;
}

function readUnigram(
  path: string,
  { vocab, unk_id, byte_fallback }: z.infer<typeof frame>['model'],
): UnigramModel {
  if (!Array.isArray(vocab)) throw bad(path, 'model.vocab is not a list of pieces and scores');
  const pieces = new Map<string, number>();
  const scores: number[] = [];
  for (const [id, entry] of vocab.entries()) {
    const [piece, score] = Array.isArray(entry) ? entry : [];
    if (typeof piece !== 'string' || piece === '' || typeof score !== 'number' || !Number.isFinite(score)) {
      throw bad(path, `model.vocab[${id}] is ${JSON.stringify(entry)}, expected a piece and its score`);
    }
    const other = pieces.get(piece);
    if (other !== undefined) {
      throw bad(
        path,
        `model.vocab holds ${JSON.stringify(piece)} twice, as ${other} and ${id}; the file is damaged`,
      );
    }
    pieces.set(piece, id);
    scores.push(score);
  }
  if (pieces.size === 0) throw bad(path, 'model.vocab is empty');
  if (unk_id != null && unk_id >= pieces.size) {
    throw bad(path, `model.unk_id is ${unk_id}, but model.vocab has ${pieces.size} pieces`);
  }
  return {
    type: 'Unigram',
    vocab: pieces,
    scores,
    unkId: unk_id ?? null,
    byteFallback: byte_fallback ?? false,
  };
}

function readMerges(path: string, merges: unknown): [string, string][] {
  if (!Array.isArray(merges)) throw bad(path, 'model.merges is not a list');
  const pairs: [string, string][] = [];
  for (const [rank, merge] of merges.entries()) {
    // A header line of merges.txt that some converters kept; the reference library skips it too.
    if (typeof merge === 'string' && merge.startsWith('#version')) continue;
    const [left, right, ...more] =
      typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
    if (
      typeof left !== 'string' ||
      typeof right !== 'string' ||
      left === '' ||
      right === '' ||
      more.length > 0
    ) {
      throw bad(
        path,
        `model.merges[${rank}] is ${JSON.stringify(merge)}, expected two pieces with one space between; if characters were turned into spaces on the way, get an undamaged copy`,
      );
    }
    pairs.push([left, right]);
  }
  return pairs;
}

/**
 * JSON.parse keeps the last of two equal keys and says nothing. A vocabulary that lost a piece that way has an id
 * that nothing owns, so only files with such a gap are searched.
 */
function refuseRepeatedKeys(
  path: string,
  text: string,
  vocab: ReadonlyMap<string, number>,
  added: readonly AddedToken[],
): void {
  const owned = new Set([...vocab.values(), ...added.map((token) => token.id)]);
  let largest = 0;
  for (const id of owned) largest = Math.max(largest, id);
  if (owned.size === largest + 1) return;
  for (const [, key, digits] of text.matchAll(/("[^"\\]*(?:\\.[^"\\]*)*")\s*:\s*(\d+)/g)) {
    if (key === undefined || owned.has(Number(digits))) continue;
    const piece: unknown = JSON.parse(key);
    if (typeof piece === 'string' && vocab.has(piece)) {
      throw bad(
        path,
        `model.vocab holds ${key} twice, with the ids ${digits} and ${vocab.get(piece)}; the file is damaged, get another copy`,
      );
    }
  }
}

const bad = (path: string, what: string, cause?: unknown) =>
  fatalError('bad-tokenizer', `${path}: ${what}`, { cause });
