import { availableParallelism } from 'node:os';
import { fatalError, usageError } from '../errors.js';
import { asLoaded, type Loaded } from './as-loaded.js';
import { type Boundaries, type BoundaryOverride, findBoundaries, requestMarks } from './boundaries.js';
import { hashPrepared } from './canonical.js';
import { type Companions, readCompanions } from './companions.js';
import { type ControlTokens, isUnreachable, type Prepared, prepare } from './control-tokens.js';
import { flatten, type Model, readDefinition, tokenizerFile } from './definition.js';
import { type Binding, loadBinding, openNative } from './native.js';
import { makeAligner } from './offsets.js';
import { openPool } from './portable.js';
import { type Recipe, recipeOf } from './recipe.js';
import { refuseUnsound } from './soundness.js';
import type { Encoding, RequestMarks, Tokenizer, TokenizerEngine } from './tokenizer.js';
import { type Watched, watched } from './unspellable.js';

export interface TokenizerSource {
  /** A tokenizer.json, or a folder that holds one; tokenizer_config.json and the like are read beside it. */
  readonly path: string;
  /** `auto` (the default): native where it loads, else portable. */
  readonly engine?: TokenizerEngine | 'auto';
  /** Threads of the portable engine; default: one a core. The native library has its own. */
  readonly workers?: number;
  /** Whether control tokens that a document spells out are `text` (the default) or `special`. */
  readonly controlTokens?: ControlTokens;
  /**
   * BOS and EOS when the rule (boundaries.ts) will not do: false or null for none, true for the token that the files name,
   * else a token by its content or id.
   */
  readonly bos?: BoundaryOverride | undefined;
  readonly eos?: BoundaryOverride | undefined;
}

/** What `inspect` shows of a tokenizer. */
export interface TokenizerDescription {
  readonly path: string;
  readonly engine: TokenizerEngine;
  readonly model: Model['type'];
  /** The class that `AutoTokenizer` of transformers 5 makes of the folder; its steps are the ones below. */
  readonly class: string;
  /** Pieces of the model's own vocabulary, and its merges, as the file has them. */
  readonly pieces: number;
  readonly merges: number;
  readonly byteFallback: boolean;
  /** Components by name, in order. */
  readonly normalizer: readonly string[];
  readonly preTokenizer: readonly string[];
  /** Added tokens that are found in a text. */
  readonly addedTokens: readonly string[];
  /** Control tokens that are text where a document spells them out. */
  readonly controlTokens: readonly string[];
  readonly bosId: number | null;
  readonly eosId: number | null;
  /** Who says so, or why there is none. */
  readonly bosSource: string;
  readonly eosSource: string;
  readonly vocabularySize: number;
  readonly hash: string;
  /** What the user should know of the files: one sentence each. */
  readonly notes: readonly string[];
  /** Why the portable engine cannot take this tokenizer; null when it can. */
  readonly portableRefusal: string | null;
}

export interface OpenedTokenizer extends Tokenizer {
  readonly description: TokenizerDescription;
}

/**
 * Opens a tokenizer.json behind the native or the portable engine.
 *
 * @throws TokensieveError fatal `no-tokenizer`, `bad-tokenizer`, `unsupported-tokenizer`; usage `unknown-token`,
 *   `no-native-tokenizer` (the native engine was asked for and does not load), `no-portable-tokenizer` (the
 *   portable engine was asked for, or is all there is, and would not give the reference library's ids)
 */
export async function openTokenizer(source: TokenizerSource): Promise<OpenedTokenizer> {
  const { controlTokens = 'text', workers = availableParallelism() } = source;
  if (!Number.isInteger(workers) || workers < 1) {
    throw usageError(
      'bad-workers',
      `${source.path}: ${workers} tokenizer threads, expected a whole number from 1`,
    );
  }
  const { prepared, boundaries, loaded, requests } = await readTokenizer(source, controlTokens);
  const guarded = watched(prepared);
  const { definition } = guarded;
  const portable = recipeOf(definition);
  const recipe = 'recipe' in portable ? portable.recipe : null;
  const refusal = 'refusal' in portable ? portable.refusal : null;
  const engine = await chooseEngine(source.engine ?? 'auto', definition.path, refusal);
  const run =
    engine.binding === null
      ? openPortable(guarded, recipe, workers)
      : openReference(engine.binding, guarded, recipe);
  const common = {
    engine: engine.binding === null ? ('portable' as const) : ('native' as const),
    hash: hashPrepared(prepared, controlTokens),
    vocabularySize: vocabularySize(prepared, boundaries),
    ...boundaries,
    notes: loaded.notes,
  };
  const { model } = loaded.definition;
  return {
    ...common,
    ...run,
    requests,
    description: {
      path: definition.path,
      model: model.type,
      class: loaded.class,
      pieces: model.vocab.size,
      merges: model.type === 'BPE' ? model.merges.length : 0,
      byteFallback: model.byteFallback,
      normalizer: flatten(definition.normalizer).map(({ type }) => type),
      preTokenizer: flatten(definition.preTokenizer).map(({ type }) => type),
      addedTokens: definition.addedTokens
        .map(({ content }) => content)
        .filter((content) => !isUnreachable(content)),
      controlTokens: prepared.hidden,
      portableRefusal: refusal,
      ...common,
    },
  };
}

/**
 * The hash of a tokenizer that is not opened, to compare with an opened one's.
 * @throws TokensieveError as `openTokenizer` does for a file that is no sound tokenizer
 */
export async function hashTokenizer(path: string, controlTokens: ControlTokens = 'text'): Promise<string> {
  return (await identifyTokenizer(path, controlTokens)).hash;
}

/** What decides the rows that a tokenizer gives. */
export type TokenizerIdentity = Pick<
  Tokenizer,
  'hash' | 'vocabularySize' | 'bosId' | 'eosId' | 'bosSource' | 'eosSource'
>;

/**
 * Hash, size and boundaries of a tokenizer, without opening an engine for it.
 * @throws TokensieveError as `openTokenizer` does for a file that is no sound tokenizer
 */
export async function identifyTokenizer(
  path: string,
  controlTokens: ControlTokens,
  overrides: Pick<TokenizerSource, 'bos' | 'eos'> = {},
): Promise<TokenizerIdentity> {
  const { prepared, boundaries } = await readTokenizer({ path, ...overrides }, controlTokens);
  return {
    hash: hashPrepared(prepared, controlTokens),
    vocabularySize: vocabularySize(prepared, boundaries),
    ...boundaries,
  };
}

/**
 * A tokenizer.json with what lies beside it, as the library loads it.
 * @throws TokensieveError fatal `no-tokenizer`, `bad-tokenizer`, `unsupported-tokenizer`
 */
export async function readLoaded(
  path: string,
): Promise<{ readonly loaded: Loaded; readonly companions: Companions }> {
  const { file, folder } = await tokenizerFile(path);
  const source = await readDefinition(file);
  refuseUnsound(source);
  const companions = await readCompanions(folder);
  const loaded = asLoaded(source, companions);
  if (loaded.definition !== source) refuseUnsound(loaded.definition);
  return { loaded, companions };
}

interface ReadTokenizer {
  readonly prepared: Prepared;
  readonly boundaries: Boundaries;
  readonly loaded: Loaded;
  readonly requests: RequestMarks;
}

async function readTokenizer(source: TokenizerSource, controlTokens: ControlTokens): Promise<ReadTokenizer> {
  const { loaded, companions } = await readLoaded(source.path);
  const { definition } = loaded;
  if (controlTokens === 'special' && companions.tokenizerConfig?.['split_special_tokens'] === true) {
    throw fatalError(
      'unsupported-tokenizer',
      `${definition.path}: tokenizer_config.json says "split_special_tokens", which control_tokens: special contradicts; use control_tokens: text`,
    );
  }
  const boundaries = findBoundaries(definition, companions, loaded.class, source);
  const requests = requestMarks(definition, companions, loaded.class, boundaries, source.bos);
  return { prepared: prepare(definition, boundaries, controlTokens), boundaries, loaded, requests };
}

async function chooseEngine(
  wanted: TokenizerEngine | 'auto',
  path: string,
  refusal: string | null,
): Promise<{ readonly binding: Binding | null }> {
  const native = wanted === 'portable' ? null : await loadBinding();
  if (native !== null && 'binding' in native) return native;
  if (native !== null && wanted === 'native') {
    throw usageError(
      'no-native-tokenizer',
      `the native tokenizers package does not load here: ${native.reason}; install it, or use the portable engine`,
    );
  }
  if (refusal === null) return { binding: null };
  const missing = native === null ? '' : ` (which does not load here: ${native.reason})`;
  throw usageError(
    'no-portable-tokenizer',
    `${path}: the portable engine might not give the reference library's ids: ${refusal}; use the native engine${missing}`,
  );
}

type Running = Pick<Tokenizer, 'encode' | 'close'>;

function openReference(binding: Binding, { definition, why }: Watched, recipe: Recipe | null): Running {
  const native = openNative(binding, definition);
  const align = recipe === null ? null : makeAligner(definition, recipe);
  let closed = false;
  return {
    async encode(texts) {
      if (closed) throw fatalError('tokenizer-closed', `${definition.path}: the tokenizer was closed`);
      const results = await native.encode(texts);
      return results.map(({ ids, offsets }, i): Encoding => {
        const text = texts[i] ?? '';
        // With a recipe the library's encoding, far larger than the ids, is let go at once.
        return align === null
          ? encodingOf(ids, () => offsets(text), why(text, ids))
          : encodingOf(ids, () => align(text, ids), why(text, ids));
      });
    },
    async close() {
      closed = true;
    },
  };
}

/** Ids that stand for less than the text are not handed out. */
const encodingOf = (ids: Int32Array, offsets: Encoding['offsets'], why: string | null): Encoding =>
  why === null ? { ids, offsets } : { ids: new Int32Array(0), offsets, unspellable: why };

function openPortable({ definition, why }: Watched, recipe: Recipe | null, workers: number): Running {
  const { model } = definition;
  if (recipe === null || model.type !== 'BPE')
    throw new Error('chooseEngine lets no tokenizer without a recipe through');
  const pool = openPool({ model, recipe }, definition.path, workers);
  const align = makeAligner(definition, recipe);
  return {
    async encode(texts) {
      const results = await pool.encode(texts);
      return results.map((ids, i): Encoding => {
        const text = texts[i] ?? '';
        return encodingOf(ids, () => align(text, ids), why(text, ids));
      });
    },
    close: () => pool.close(),
  };
}

function vocabularySize(
  { definition, hidden }: Prepared,
  { bosId, eosId }: Pick<Boundaries, 'bosId' | 'eosId'>,
): number {
  let largest = Math.max(bosId ?? 0, eosId ?? 0);
  const hiddenPieces = new Set(hidden);
  for (const [piece, id] of definition.model.vocab) {
    if (!hiddenPieces.has(piece) && !isUnreachable(piece)) largest = Math.max(largest, id);
  }
  return largest + 1;
}
