import { fatalError } from '../errors.js';
import type { Boundaries } from './boundaries.js';
import type { AddedToken, BpeModel, Definition, UnigramModel } from './definition.js';
import { isByteLevel } from './soundness.js';

/** `text` (the default): spelled out in a document they are plain text. `special`: they become their control ids. */
export type ControlTokens = 'text' | 'special';

/** A definition as the engines get it: what they may find in a text, and nothing more. */
export interface Prepared {
  readonly definition: Definition;
  /** Contents of the control tokens that text cannot give. */
  readonly hidden: readonly string[];
  /** Ids that no text may have: a text that gets one all the same is set aside. */
  readonly forbidden: readonly number[];
}

/**
 * Makes control tokens unreachable from text, so that no document can forge a boundary:
 * - they are no added tokens any more, so nothing looks for them in the text;
 * - merges that take or make one are dropped, so that no run of plain pieces grows into one (converters write
 *   merges for every split of every piece, `</` + `s>` included);
 * - in the vocabulary they go under a name that no word can have, so that no whole-word look-up finds them.
 * What is left are symbols of one character or byte, and products of merges: none is a control token.
 * The unknown token keeps its name: the model needs it, and only it gives it.
 *
 * A control token is one that the library takes for special, or that goes around documents. An added token that is not
 * special (Gemma 3's `<s>` is HTML's strike) is text with an id of its own, as in the library.
 *
 * Added tokens that stay are written into the vocabulary, for otherwise the reference library numbers them anew
 * from the vocabulary's end once the control tokens before them are gone (Whisper's timestamps, off by 106).
 *
 * @throws TokensieveError fatal `unsupported-tokenizer` where that cannot be promised
 */
export function prepare(
  source: Definition,
  boundaries: Pick<Boundaries, 'bosId' | 'eosId'>,
  controlTokens: ControlTokens,
): Prepared {
  const { bosId, eosId } = boundaries;
  const { model } = source;
  const isBoundary = (id: number): boolean => id === bosId || id === eosId;
  // A file that names an ordinary character as its padding cannot keep it out of texts: it is found there, as in the library.
  const isOrdinary = ({ content, id }: AddedToken): boolean =>
    [...content].length === 1 && model.vocab.has(content) && !isBoundary(id);
  const isControl = (token: AddedToken): boolean =>
    (token.special && !isOrdinary(token)) || isBoundary(token.id);
  const hide = controlTokens === 'text';
  const kept = source.addedTokens.filter((token) => !hide || !isControl(token));
  const hidden = new Map(
    source.addedTokens.filter((token) => hide && isControl(token)).map(({ content, id }) => [content, id]),
  );
  // BOS and EOS where only the vocabulary holds them (stories260K before its added tokens, some conversions).
  if (hide) for (const [content, id] of model.vocab) if (isBoundary(id)) hidden.set(content, id);
  refuseForgeable(source, hidden, boundaries);
  return model.type === 'BPE'
    ? prepareBpe(source, model, kept, hidden)
    : prepareUnigram(source, model, kept, hidden);
}

type Hidden = ReadonlyMap<string, number>;

function prepareBpe(
  source: Definition,
  model: BpeModel,
  kept: readonly AddedToken[],
  hidden: Hidden,
): Prepared {
  const vocab = new Map<string, number>();
  for (const [piece, id] of model.vocab) {
    vocab.set(hidden.has(piece) && piece !== model.unkToken ? unreachableName(id) : piece, id);
  }
  for (const { content, id } of kept) if (!vocab.has(content)) vocab.set(content, id);
  const suffixStart = model.continuingSubwordPrefix.length;
  const merges = model.merges.filter(
    ([left, right]) =>
      !hidden.has(left) && !hidden.has(right) && !hidden.has(left + right.slice(suffixStart)),
  );
  return {
    definition: { ...source, addedTokens: kept, model: { ...model, vocab, merges } },
    hidden: [...hidden.keys()],
    forbidden: [],
  };
}

/**
 * A unigram model finds any piece that a text spells, so a name alone does not hide one: texts that reach it are set aside.
 * Control tokens beyond the vocabulary leave a token in their place, for the library numbers added tokens by their order.
 */
function prepareUnigram(
  source: Definition,
  model: UnigramModel,
  kept: readonly AddedToken[],
  hidden: Hidden,
): Prepared {
  const vocab = new Map<string, number>();
  for (const [piece, id] of model.vocab) {
    vocab.set(hidden.has(piece) && id !== model.unkId ? unreachableName(id) : piece, id);
  }
  const places = source.addedTokens
    .filter(({ content }) => hidden.has(content) && !model.vocab.has(content))
    .map((token) => ({ ...token, ...NO_FLAGS, content: unreachableName(token.id) }));
  return {
    definition: {
      ...source,
      addedTokens: [...kept, ...places].sort((a, b) => a.id - b.id),
      model: { ...model, vocab },
    },
    hidden: [...hidden.keys()],
    forbidden: [...hidden.values()].filter((id) => id !== model.unkId),
  };
}

const NO_FLAGS = { single_word: false, lstrip: false, rstrip: false, normalized: false } as const;

const UNREACHABLE = ' \u0000control ';

/** A space never reaches a byte-level model (it is "Ġ" there), and the NUL keeps the name out of other vocabularies. */
const unreachableName = (id: number): string => `${UNREACHABLE}${id}`;

/** Whether a piece is the stand-in of a control token. */
export const isUnreachable = (piece: string): boolean => piece.startsWith(UNREACHABLE);

function refuseForgeable(
  { path, model, preTokenizer }: Definition,
  hidden: Hidden,
  { bosId, eosId }: Pick<Boundaries, 'bosId' | 'eosId'>,
): void {
  const bytes = isByteLevel(preTokenizer) || model.byteFallback;
  const unknown =
    model.type === 'Unigram'
      ? model.unkId
      : model.unkToken === null
        ? null
        : (model.vocab.get(model.unkToken) ?? null);
  if (unknown !== null && (unknown === bosId || unknown === eosId) && !bytes && hidden.size > 0) {
    throw fatalError(
      'unsupported-tokenizer',
      `${path}: its unknown token (id ${unknown}) is also BOS or EOS, so that any unknown character would forge a boundary`,
    );
  }
  for (const content of hidden.keys()) {
    if (model.vocab.has(content) && [...content].length === 1) {
      throw fatalError(
        'unsupported-tokenizer',
        `${path}: its control token ${JSON.stringify(content)} is a single character, which plain text cannot avoid`,
      );
    }
  }
  if (hidden.size > 0 && model.type === 'BPE' && model.ignoreMerges && !isByteLevel(preTokenizer)) {
    throw fatalError(
      'unsupported-tokenizer',
      `${path}: model.ignore_merges without a ByteLevel pre-tokenizer would let a text spell out a control token`,
    );
  }
}
