import { BYTE_ALPHABET, bytePiece } from './bytes.js';
import type { Prepared } from './control-tokens.js';
import type { Definition } from './definition.js';
import { isByteLevel } from './soundness.js';

/** A piece that no text spells: what a model without an unknown token gets for one, so that nothing vanishes unseen. */
const SENTINEL = ' \u0000unspellable';

export const isSentinel = (piece: string): boolean => piece === SENTINEL;

/** A definition with every way out of it watched. */
export interface Watched {
  readonly definition: Definition;
  /** Why a text with these ids has to be set aside; null where it has not. O(ids), nothing where no id is watched. */
  readonly why: (text: string, ids: Int32Array) => string | null;
}

/**
 * A model without an unknown token drops what no piece spells and says nothing: real vocabularies lack some bytes
 * (SmolLM2 and Falcon eight and fifteen, control characters and planes that nobody writes in). Here they get an unknown
 * token for this one purpose; ids of other texts do not change.
 */
export function watched({ definition, forbidden }: Prepared): Watched {
  const { model } = definition;
  let sentinel: number | null = null;
  let armed = definition;
  if (model.type === 'BPE' && model.unkToken === null && mayLack(definition)) {
    let largest = 0;
    for (const id of model.vocab.values()) largest = Math.max(largest, id);
    sentinel = largest + 1;
    const vocab = new Map(model.vocab).set(SENTINEL, sentinel);
    armed = { ...definition, model: { ...model, vocab, unkToken: SENTINEL } };
  }
  const watchedIds = new Set(sentinel === null ? forbidden : [sentinel, ...forbidden]);
  if (watchedIds.size === 0) return { definition, why: () => null };
  return {
    definition: armed,
    why: (text, ids) => {
      const found = ids.find((id) => watchedIds.has(id));
      if (found === undefined) return null;
      return found === sentinel
        ? `no piece of the tokenizer spells ${firstUnspellable(definition, text)}, which it would drop from the text`
        : `the text spells out a control token (id ${found})`;
    },
  };
}

/** Whether some text may hold what no piece spells. */
function mayLack({ model, preTokenizer, normalizer }: Definition): boolean {
  if (isByteLevel(preTokenizer) || isByteLevel(normalizer))
    return BYTE_ALPHABET.some((piece) => !model.vocab.has(piece));
  if (!model.byteFallback) return true;
  return Array.from({ length: 256 }, (_, byte) => bytePiece(byte)).some((piece) => !model.vocab.has(piece));
}

/** The first character of the text, before any normalization, that the vocabulary cannot spell. */
function firstUnspellable({ model, preTokenizer, normalizer }: Definition, text: string): string {
  const byteLevel = isByteLevel(preTokenizer) || isByteLevel(normalizer);
  for (const char of text) {
    const bytes = [...Buffer.from(char)];
    const spelled = byteLevel
      ? bytes.every((byte) => model.vocab.has(BYTE_ALPHABET[byte] ?? ''))
      : model.vocab.has(char) ||
        char === ' ' ||
        (model.byteFallback && bytes.every((byte) => model.vocab.has(bytePiece(byte))));
    if (!spelled) return `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
  }
  return "one of the text's characters";
}
