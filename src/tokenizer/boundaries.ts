import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fatalError, firstLine, usageError } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import { readText } from '../storage/read-text.js';
import type { Definition } from './definition.js';

/** Ids put around each document. */
export interface Boundaries {
  readonly bosId: number | null;
  readonly eosId: number | null;
}

/** A token by its content or id; null for none. */
export type BoundaryOverride = string | number | null;

/** Longest file beside a tokenizer.json that is read: some repeat every added token. */
const MAX_COMPANION_BYTES = 64 * 2 ** 20;

/** The names under which BOS and EOS go, the surer first: a tokenizer with `<|endoftext|>` and `</s>` (Phi-3) ends documents with the former. */
const KNOWN_NAMES = {
  bos: ['<|begin_of_text|>', '<s>', '<bos>', '<|bos|>', '[BOS]', '<|startoftext|>'],
  eos: ['<|end_of_text|>', '<|endoftext|>', '</s>', '<eos>', '<|eos|>', '[EOS]'],
} as const;

type Role = keyof typeof KNOWN_NAMES;

/**
 * Finds BOS and EOS: an override, else the first of these that speaks of the role (`null` there means none):
 * tokenizer_config.json, special_tokens_map.json, generation_config.json, config.json (of several EOS ids the
 * first), then well-known names among the added tokens, then the post-processor's template.
 *
 * Where one id is both (GPT-2, Whisper, Pythia write `<|endoftext|>` for either), `bosId` is null: the token was
 * trained as the mark *between* documents, and packing puts one EOS between two; inserting it twice would show the
 * model a pair it never saw. An override gives it back.
 *
 * @param folder where the companion files may lie
 * @throws TokensieveError fatal `bad-tokenizer` when a companion file is not JSON or names a token that does not
 *   exist; usage `unknown-token` when an override does
 */
export async function findBoundaries(
  definition: Definition,
  folder: string,
  overrides: { readonly bos?: BoundaryOverride | undefined; readonly eos?: BoundaryOverride | undefined },
): Promise<Boundaries> {
  const companions = await readCompanions(folder);
  const found = (role: Role): number | null => {
    const override = overrides[role];
    return override === undefined
      ? detect(definition, companions, role)
      : fromOverride(definition, role, override);
  };
  const [bosId, eosId] = [found('bos'), found('eos')];
  return { bosId: bosId === eosId && overrides.bos === undefined ? null : bosId, eosId };
}

type Companion = readonly [file: string, json: Readonly<Record<string, unknown>>];

async function readCompanions(folder: string): Promise<readonly Companion[]> {
  const companions: Companion[] = [];
  for (const name of [
    'tokenizer_config.json',
    'special_tokens_map.json',
    'generation_config.json',
    'config.json',
  ]) {
    const file = join(folder, name);
    if (!existsSync(file)) continue;
    const text = await readText(file, MAX_COMPANION_BYTES).catch((cause: unknown) => {
      throw fatalError('bad-tokenizer', `${file}: ${firstLine(cause)}`, { cause });
    });
    let json: unknown;
    try {
      json = parseJson(text);
    } catch (cause) {
      throw fatalError('bad-tokenizer', `${file}: not JSON: ${String(cause)}`, { cause });
    }
    if (isRecord(json)) companions.push([file, json]);
  }
  return companions;
}

function detect(definition: Definition, companions: readonly Companion[], role: Role): number | null {
  for (const [file, json] of companions) {
    const token = json[`${role}_token`];
    if (token === null) return null;
    const content = isRecord(token) ? token['content'] : token;
    if (typeof content === 'string') {
      const id = idOf(definition, content);
      if (id !== null) return id;
      throw fatalError(
        'bad-tokenizer',
        `${file}: ${role}_token is ${JSON.stringify(content)}, which ${definition.path} does not hold; the files belong to different tokenizers`,
      );
    }
    const ids = json[`${role}_token_id`];
    const id: unknown = Array.isArray(ids) ? ids[0] : ids;
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0) return id;
  }
  for (const name of KNOWN_NAMES[role]) {
    const token = definition.addedTokens.find(({ content }) => content === name);
    if (token !== undefined) return token.id;
  }
  return fromTemplate(definition, role);
}

/** The special token at the beginning (end) of a TemplateProcessing's single form. */
function fromTemplate({ postProcessor, ...definition }: Definition, role: Role): number | null {
  const processors =
    isRecord(postProcessor) && Array.isArray(postProcessor['processors'])
      ? postProcessor['processors']
      : [postProcessor];
  for (const processor of processors) {
    const single: unknown = isRecord(processor) ? processor['single'] : null;
    if (!Array.isArray(single)) continue;
    const edge: unknown = role === 'bos' ? single[0] : single.at(-1);
    const token = isRecord(edge) ? edge['SpecialToken'] : null;
    if (isRecord(token) && typeof token['id'] === 'string')
      return idOf({ ...definition, postProcessor }, token['id']);
  }
  return null;
}

function fromOverride(definition: Definition, role: Role, override: BoundaryOverride): number | null {
  if (override === null) return null;
  const id = typeof override === 'string' ? idOf(definition, override) : override;
  const known = id !== null && (typeof override === 'string' || hasId(definition, id));
  if (known) return id;
  throw usageError(
    'unknown-token',
    `${definition.path}: no token ${JSON.stringify(override)} to use as ${role.toUpperCase()}; name one of its tokens or none`,
  );
}

const idOf = ({ addedTokens, model }: Definition, content: string): number | null =>
  addedTokens.find((token) => token.content === content)?.id ?? model.vocab.get(content) ?? null;

function hasId({ addedTokens, model }: Definition, id: number): boolean {
  if (addedTokens.some((token) => token.id === id)) return true;
  for (const owned of model.vocab.values()) if (owned === id) return true;
  return false;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
