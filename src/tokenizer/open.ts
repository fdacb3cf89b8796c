import { availableParallelism } from 'node:os';
import { fatalError, usageError } from '../errors.js';
import { type Boundaries, type BoundaryOverride, findBoundaries } from './boundaries.js';
import { hashPrepared } from './canonical.js';
import { type ControlTokens, type Prepared, prepare } from './control-tokens.js';
import { flatten, readDefinition, tokenizerFile } from './definition.js';
import { type Binding, loadBinding, openNative } from './native.js';
import { makeAligner } from './offsets.js';
import { openPool } from './portable.js';
import { type Recipe, recipeOf } from './recipe.js';
import { refuseUnsound } from './soundness.js';
import type { Encoding, Tokenizer, TokenizerEngine } from './tokenizer.js';

export interface TokenizerSource {
  /** A tokenizer.json, or a folder that holds one; tokenizer_config.json and the like are read beside it. */
  readonly path: string;
  /** `auto` (the default): native where it loads, else portable. */
  readonly engine?: TokenizerEngine | 'auto';
  /** Threads of the portable engine; default: one a core. The native library has its own. */
  readonly workers?: number;
  /** Whether control tokens that a document spells out are `text` (the default) or `special`. */
  readonly controlTokens?: ControlTokens;
  /** BOS and EOS by content or id, null for none, when what the files say will not do. */
  readonly bos?: BoundaryOverride;
  readonly eos?: BoundaryOverride;
}

/** What `inspect` shows of a tokenizer. */
export interface TokenizerDescription {
  readonly path: string;
  readonly engine: TokenizerEngine;
  readonly model: 'BPE';
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
  readonly vocabularySize: number;
  readonly hash: string;
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
  const { prepared, boundaries, pieces, merges } = await readTokenizer(source, controlTokens);
  const { definition } = prepared;
  const portable = recipeOf(definition);
  const recipe = 'recipe' in portable ? portable.recipe : null;
  const refusal = 'refusal' in portable ? portable.refusal : null;
  const engine = await chooseEngine(source.engine ?? 'auto', definition.path, refusal);
  const run =
    engine.binding === null
      ? openPortable(prepared, recipe, workers)
      : openReference(engine.binding, prepared, recipe);
  const common = {
    engine: engine.binding === null ? ('portable' as const) : ('native' as const),
    hash: hashPrepared(prepared, controlTokens),
    vocabularySize: vocabularySize(prepared, boundaries),
    ...boundaries,
  };
  return {
    ...common,
    ...run,
    description: {
      path: definition.path,
      model: 'BPE',
      pieces,
      merges,
      byteFallback: definition.model.byteFallback,
      normalizer: flatten(definition.normalizer).map(({ type }) => type),
      preTokenizer: flatten(definition.preTokenizer).map(({ type }) => type),
      addedTokens: definition.addedTokens.map(({ content }) => content),
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

/**
 * Hash and size of a tokenizer, without opening an engine for it.
 * @throws TokensieveError as `openTokenizer` does for a file that is no sound tokenizer
 */
export async function identifyTokenizer(
  path: string,
  controlTokens: ControlTokens,
): Promise<Pick<Tokenizer, 'hash' | 'vocabularySize'>> {
  const { prepared, boundaries } = await readTokenizer({ path }, controlTokens);
  return {
    hash: hashPrepared(prepared, controlTokens),
    vocabularySize: vocabularySize(prepared, boundaries),
  };
}

interface ReadTokenizer {
  readonly prepared: Prepared;
  readonly boundaries: Boundaries;
  readonly pieces: number;
  readonly merges: number;
}

async function readTokenizer(source: TokenizerSource, controlTokens: ControlTokens): Promise<ReadTokenizer> {
  const { file, folder } = await tokenizerFile(source.path);
  const definition = await readDefinition(file);
  refuseUnsound(definition);
  const boundaries = await findBoundaries(definition, folder, source);
  return {
    prepared: prepare(definition, boundaries, controlTokens),
    boundaries,
    pieces: definition.model.vocab.size,
    merges: definition.model.merges.length,
  };
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

function openReference(binding: Binding, { definition }: Prepared, recipe: Recipe | null): Running {
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
          ? { ids, offsets: () => offsets(text) }
          : { ids, offsets: () => align(text, ids) };
      });
    },
    async close() {
      closed = true;
    },
  };
}

function openPortable({ definition }: Prepared, recipe: Recipe | null, workers: number): Running {
  if (recipe === null) throw new Error('chooseEngine lets no tokenizer without a recipe through');
  const pool = openPool({ definition: { model: definition.model }, recipe }, definition.path, workers);
  const align = makeAligner(definition, recipe);
  return {
    async encode(texts) {
      const results = await pool.encode(texts);
      return results.map((ids, i): Encoding => ({ ids, offsets: () => align(texts[i] ?? '', ids) }));
    },
    close: () => pool.close(),
  };
}

function vocabularySize({ definition, hidden }: Prepared, { bosId, eosId }: Boundaries): number {
  let largest = Math.max(bosId ?? 0, eosId ?? 0);
  const hiddenPieces = new Set(hidden);
  for (const [piece, id] of definition.model.vocab) {
    if (!hiddenPieces.has(piece) && !piece.startsWith(' \u0000control ')) largest = Math.max(largest, id);
  }
  return largest + 1;
}
