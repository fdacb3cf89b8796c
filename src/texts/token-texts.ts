import { findBoundaries } from '../tokenizer/boundaries.js';
import { BYTE_ALPHABET, bytePiece } from '../tokenizer/bytes.js';
import { prepare } from '../tokenizer/control-tokens.js';
import type { Definition } from '../tokenizer/definition.js';
import { readLoaded } from '../tokenizer/open.js';
import { MARK } from '../tokenizer/recipe.js';
import { isByteLevel } from '../tokenizer/soundness.js';
import { type TokenClass, tokenClass } from './token-class.js';

/** What the ids of a tokenizer stand for. An id that it lacks has the text `⟨id⟩` and is of class `control`. */
export interface TokenTexts {
  /** One more than the largest id. */
  readonly size: number;
  /** The token alone; bytes that are no text by themselves as `<0xE2><0x82>`. */
  text(id: number): string;
  /** What the token stands for in a text; null for a control token and for an id that the tokenizer lacks. */
  bytes(id: number): Uint8Array | null;
  /** Tokens in a row, as text: fragments of one character become that character. */
  join(ids: Iterable<number>): string;
  classOf(id: number): TokenClass;
}

interface Token {
  readonly bytes: Uint8Array;
  readonly control: boolean;
}

/**
 * Reads the vocabulary of a tokenizer.json, or of the one in a folder.
 * @throws TokensieveError fatal `no-tokenizer`, `bad-tokenizer`, `unsupported-tokenizer`
 */
export async function readTokenTexts(path: string): Promise<TokenTexts> {
  const { loaded, companions } = await readLoaded(path);
  const { definition } = loaded;
  const boundaries = findBoundaries(definition, companions, loaded.class, {});
  const controls = new Set(prepare(definition, boundaries, 'text').hidden);
  return tokenTexts(tokensOf(definition, controls));
}

function tokensOf(
  { model, addedTokens, preTokenizer }: Definition,
  controls: ReadonlySet<string>,
): ReadonlyMap<number, Token> {
  const byteLevel = isByteLevel(preTokenizer);
  const byteOf = new Map(BYTE_ALPHABET.map((character, byte) => [character, byte]));
  const fallback = new Map(Array.from({ length: 256 }, (_, byte) => [bytePiece(byte), byte]));
  const bytesOf = (piece: string): Uint8Array => {
    if (byteLevel) {
      const bytes = [...piece].map((character) => byteOf.get(character));
      if (bytes.every((byte) => byte !== undefined)) return Uint8Array.from(bytes);
    }
    const byte = model.byteFallback ? fallback.get(piece) : undefined;
    if (byte !== undefined) return Uint8Array.of(byte);
    return Buffer.from(byteLevel ? piece : piece.replaceAll(MARK, ' '), 'utf8');
  };
  const tokens = new Map<number, Token>();
  for (const [piece, id] of model.vocab) {
    const control = controls.has(piece);
    tokens.set(id, { bytes: control ? Buffer.from(piece, 'utf8') : bytesOf(piece), control });
  }
  for (const { id, content } of addedTokens) {
    tokens.set(id, { bytes: Buffer.from(content, 'utf8'), control: controls.has(content) });
  }
  return tokens;
}

function tokenTexts(tokens: ReadonlyMap<number, Token>): TokenTexts {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const lenient = new TextDecoder('utf-8', { ignoreBOM: true });
  const own = (bytes: Uint8Array): string | null => {
    try {
      return strict.decode(bytes);
    } catch {
      return null;
    }
  };
  let size = 0;
  for (const id of tokens.keys()) size = Math.max(size, id + 1);
  const unknown = (id: number): string => `⟨${id}⟩`;
  return {
    size,
    text(id) {
      const token = tokens.get(id);
      if (token === undefined) return unknown(id);
      return own(token.bytes) ?? Array.from(token.bytes, bytePiece).join('');
    },
    bytes(id) {
      const token = tokens.get(id);
      return token === undefined || token.control ? null : token.bytes;
    },
    join(ids) {
      const pieces = Array.from(ids, (id) => tokens.get(id)?.bytes ?? Buffer.from(unknown(id), 'utf8'));
      return lenient.decode(Buffer.concat(pieces));
    },
    classOf(id) {
      const token = tokens.get(id);
      if (token === undefined) return 'control';
      return tokenClass(own(token.bytes), token.control);
    },
  };
}
