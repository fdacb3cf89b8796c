import { fatalError } from '../errors.js';
import type { Boundaries } from './boundaries.js';
import type { AddedToken, Definition } from './definition.js';
import { isByteLevel } from './soundness.js';

/** `text` (the default): spelled out in a document they are plain text. `special`: they become their control ids. */
export type ControlTokens = 'text' | 'special';

/** A definition as the engines get it: what they may find in a text, and nothing more. */
export interface Prepared {
  readonly definition: Definition;
  /** Contents of the control tokens that text cannot give. */
  readonly hidden: readonly string[];
}

/** Control tokens that some files forget to mark as `special` (Phi-3's `</s>`). */
const CONTROL_NAMES = new Set(
  '<s> </s> <unk> <pad> <mask> <bos> <eos> <sep> <cls> <|endoftext|> <|startoftext|> <|begin_of_text|> <|end_of_text|> <|padding|> <|pad|> <|unk|> <|bos|> <|eos|> <|im_start|> <|im_end|> <|eot_id|> [BOS] [EOS] [PAD] [UNK] [CLS] [SEP] [MASK]'.split(
    ' ',
  ),
);

/**
 * Makes control tokens unreachable from text, so that no document can forge a boundary:
 * - they are no added tokens any more, so nothing looks for them in the text;
 * - merges that take or make one are dropped, so that no run of plain pieces grows into one (converters write
 *   merges for every split of every piece, `</` + `s>` included);
 * - in the vocabulary they go under a name that no word can have, so that no whole-word look-up finds them.
 * What is left are symbols of one character or byte, and products of merges: none is a control token.
 * The unknown token keeps its name: the model needs it, and only it gives it.
 *
 * Added tokens that stay are written into the vocabulary, for otherwise the reference library numbers them anew
 * from the vocabulary's end once the control tokens before them are gone (Whisper's timestamps, off by 106).
 *
 * @throws TokensieveError fatal `unsupported-tokenizer` where that cannot be promised
 */
export function prepare(source: Definition, boundaries: Boundaries, controlTokens: ControlTokens): Prepared {
  const isControl = ({ content, special, id }: AddedToken): boolean =>
    special || CONTROL_NAMES.has(content) || id === boundaries.bosId || id === boundaries.eosId;
  const hide = controlTokens === 'text';
  const kept = source.addedTokens.filter((token) => !hide || !isControl(token));
  const hidden = new Map(
    source.addedTokens.filter((token) => hide && isControl(token)).map(({ content, id }) => [content, id]),
  );
  if (hide) for (const [content, id] of boundaryPieces(source, boundaries)) hidden.set(content, id);
  refuseForgeable(source, hidden, boundaries);

  const { model } = source;
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
  };
}

/** A space never reaches a byte-level model (it is "Ġ" there), and the NUL keeps the name out of other vocabularies. */
const unreachableName = (id: number): string => ` \u0000control ${id}`;

/** BOS and EOS where only the vocabulary holds them (stories260K before its added tokens, some conversions). */
function boundaryPieces({ model }: Definition, { bosId, eosId }: Boundaries): [string, number][] {
  return [...model.vocab].filter(([, id]) => id === bosId || id === eosId);
}

function refuseForgeable(
  { path, model, preTokenizer }: Definition,
  hidden: ReadonlyMap<string, number>,
  { bosId, eosId }: Boundaries,
): void {
  const unknown = model.unkToken === null ? undefined : model.vocab.get(model.unkToken);
  const boundary = unknown !== undefined && (unknown === bosId || unknown === eosId);
  if (boundary && !isByteLevel(preTokenizer) && !model.byteFallback && hidden.size > 0) {
    throw fatalError(
      'unsupported-tokenizer',
      `${path}: its unknown token ${JSON.stringify(model.unkToken)} is also BOS or EOS, so that any unknown character would forge a boundary`,
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
  if (hidden.size > 0 && model.ignoreMerges && !isByteLevel(preTokenizer)) {
    throw fatalError(
      'unsupported-tokenizer',
      `${path}: model.ignore_merges without a ByteLevel pre-tokenizer would let a text spell out a control token`,
    );
  }
}
