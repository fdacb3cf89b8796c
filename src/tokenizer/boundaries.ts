import { fatalError, usageError } from '../errors.js';
import type { Companions } from './companions.js';
import type { Definition } from './definition.js';
import { templateOf } from './encoding-template.js';
import type { LibraryClass } from './library-classes.js';
import { classDefault, namedTokens } from './library-tokens.js';
import type { RequestMarks } from './tokenizer.js';

/** Ids put around each document, and where that was read. */
export interface Boundaries {
  readonly bosId: number | null;
  readonly eosId: number | null;
  /** One clause each: who says so, or why there is none. */
  readonly bosSource: string;
  readonly eosSource: string;
}

/** A token by its content or id; null or false for none, true for the one that the files name. */
export type BoundaryOverride = string | number | boolean | null;

export interface BoundaryOverrides {
  readonly bos?: BoundaryOverride | undefined;
  readonly eos?: BoundaryOverride | undefined;
}

type Role = 'bos' | 'eos';
interface Found {
  readonly id: number | null;
  readonly source: string;
}

/**
 * The rule of BOS and EOS, here and nowhere else:
 * - BOS goes before a document if and only if the tokenizer's own encoding puts it there (its post-processor, as
 *   `AutoTokenizer` of transformers 5 leaves it: `add_bos_token` in a file does nothing beside a tokenizer.json).
 * - EOS goes after every document, once, if and only if its encoding puts it there or `eos_token` of
 *   tokenizer_config.json or special_tokens_map.json names it: corpora are joined by it.
 * - An id that only config.json or generation_config.json names is never BOS; it is EOS only where there is no
 *   tokenizer_config.json and the id is a special added token, for the configurations' defaults name any word.
 * - An override wins over all of this.
 *
 * @param definition as the library loads it
 * @throws TokensieveError fatal `bad-tokenizer` when a file names a token that does not exist, `unsupported-tokenizer` when the
 *   encoding adds what is not one token; usage `unknown-token` when an override names no token
 */
export function findBoundaries(
  definition: Definition,
  companions: Companions,
  name: LibraryClass,
  overrides: BoundaryOverrides,
): Boundaries {
  const found = (role: Role): Found => {
    const override = overrides[role];
    if (override === undefined) return byRule(definition, companions, name, role);
    if (override === null || override === false) return { id: null, source: 'switched off' };
    const id =
      override === true ? toInsert(definition, companions, name, role) : byName(definition, role, override);
    return { id, source: 'switched on' };
  };
  const [bos, eos] = [found('bos'), found('eos')];
  return { bosId: bos.id, eosId: eos.id, bosSource: bos.source, eosSource: eos.source };
}

/**
 * The marks of a request, by the rule of lm-evaluation-harness 0.4.13 (models/huggingface.py): a text is what the library's
 * `encode` makes of it; `add_bos_token` set to true makes that BOS and the text, set to false the text alone; what nothing
 * precedes follows `bos_token`, else `eos_token`, the class's own where the files name none.
 */
export function requestMarks(
  definition: Definition,
  companions: Companions,
  name: LibraryClass,
  { bosId, eosId }: Pick<Boundaries, 'bosId' | 'eosId'>,
  bos: BoundaryOverride | undefined,
): RequestMarks {
  const named = namedTokens(companions);
  const idNamed = (role: Role): number | null => {
    const found = named.get(role);
    const content = found === undefined ? classDefault(name, role) : found.token?.content;
    return content == null ? null : idOf(definition, content);
  };
  const template = bos === undefined ? templateOf(definition) : null;
  return {
    before: template?.before ?? (bosId === null ? [] : [bosId]),
    after: template?.after ?? [],
    prefixId: idNamed('bos') ?? bosId ?? idNamed('eos') ?? eosId,
  };
}

function byRule(definition: Definition, companions: Companions, name: LibraryClass, role: Role): Found {
  const added = byEncoding(definition, role);
  if (added !== null) return added;
  if (role === 'bos') return { id: null, source: "the tokenizer's encoding adds none" };
  return declared(definition, companions, name, 'eos');
}

/** What the tokenizer's encoding adds on this side of a text. */
function byEncoding(definition: Definition, role: Role): Found | null {
  const { path } = definition;
  const flag = role === 'bos' ? '--no-bos' : '--no-eos';
  const template = templateOf(definition);
  if (template === null) {
    throw fatalError(
      'unsupported-tokenizer',
      `${path}: what its post_processor adds to a text is not understood; ${flag} leaves it out, --${role} puts the ${role}_token in`,
    );
  }
  const ids = role === 'bos' ? template.before : template.after;
  if (ids.length > 1) {
    throw fatalError(
      'unsupported-tokenizer',
      `${path}: its post_processor puts ${ids.length} tokens (${ids.join(', ')}) ${role === 'bos' ? 'before' : 'after'} a text, expected one at most; ${flag} leaves them out, --${role} puts the ${role}_token in`,
    );
  }
  const [id] = ids;
  if (id === undefined) return null;
  if (!hasId(definition, id)) {
    throw fatalError('bad-tokenizer', `${path}: its post_processor adds the id ${id}, which no token has`);
  }
  return { id, source: 'post_processor of tokenizer.json' };
}

/** The token that the files name for the role; config.json's last, and only as the rule has it. */
function declared(definition: Definition, companions: Companions, name: LibraryClass, role: Role): Found {
  const named = namedTokens(companions).get(role);
  if (named !== undefined) {
    const { token, source } = named;
    if (token === null) return { id: null, source: `${source} says none` };
    const id = idOf(definition, token.content);
    if (id !== null) return { id, source: `${role}_token of ${source}` };
    throw fatalError(
      'bad-tokenizer',
      `${companions.folder}/${source}: ${role}_token is ${JSON.stringify(token.content)}, which ${definition.path} does not hold, so that the library would give it an id beyond the model's; --no-${role} leaves it out, or name a token that is there`,
    );
  }
  const { tokenizerConfig, generationConfig, config } = companions;
  if (tokenizerConfig === null) {
    for (const [json, file] of [
      [generationConfig, 'generation_config.json'],
      [config, 'config.json'],
    ] as const) {
      const ids = json?.[`${role}_token_id`];
      const id: unknown = Array.isArray(ids) ? ids[0] : ids;
      if (
        typeof id === 'number' &&
        definition.addedTokens.some((token) => token.special && token.id === id)
      ) {
        return { id, source: `${role}_token_id of ${file}` };
      }
    }
  }
  const usual = classDefault(name, role);
  const hint =
    usual !== null && idOf(definition, usual) !== null
      ? ` (${name} itself would take ${JSON.stringify(usual)})`
      : '';
  return { id: null, source: `the tokenizer's files name no ${role}_token${hint}` };
}

/** `--bos` and `--eos`: the encoding's token, the named one, the class's own, or config.json's. */
function toInsert(definition: Definition, companions: Companions, name: LibraryClass, role: Role): number {
  const template = templateOf(definition);
  const ids = role === 'bos' ? template?.before : template?.after;
  const usual = classDefault(name, role);
  const fromConfig = [companions.config, companions.generationConfig]
    .map((json) => json?.[`${role}_token_id`])
    .map((given) => (Array.isArray(given) ? given[0] : given))
    .find((id) => typeof id === 'number' && hasId(definition, id));
  const id =
    (ids?.length === 1 ? ids[0] : undefined) ??
    declared(definition, companions, name, role).id ??
    (usual === null ? null : idOf(definition, usual)) ??
    (typeof fromConfig === 'number' ? fromConfig : null);
  if (id !== null) return id;
  throw usageError(
    'unknown-token',
    `${definition.path}: --${role} asks for a token that neither the tokenizer nor config.json names; add ${role}_token to tokenizer_config.json, or leave --${role} out`,
  );
}

function byName(definition: Definition, role: Role, override: string | number): number {
  const id = typeof override === 'string' ? idOf(definition, override) : override;
  if (id !== null && (typeof override === 'string' || hasId(definition, id))) return id;
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
