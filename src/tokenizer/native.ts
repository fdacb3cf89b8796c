import type { Encoding as NativeEncoding, Tokenizer as NativeTokenizer } from 'tokenizers';
import { fatalError, firstLine } from '../errors.js';
import { utf8Length } from './bytes.js';
import { chunksOf } from './chunks.js';
import type { Definition, Model } from './definition.js';
import type { ByteOffsets } from './tokenizer.js';

export type Binding = typeof import('tokenizers');

/** The native library, or why it does not load here. */
export async function loadBinding(): Promise<{ readonly binding: Binding } | { readonly reason: string }> {
  try {
    return { binding: await import('tokenizers') };
  } catch (error) {
    return { reason: firstLine(error) };
  }
}

/**
 * UTF-16 units a call, to bound what the library's encodings (some 150 bytes a token) take at a time. Two calls are
 * under way, so that ids are read while the next texts are encoded; smaller calls cost more than they hide.
 */
const CHUNK_UNITS = 1 << 22;
const OPTIONS = { addSpecialTokens: false };

/** A text's ids, and its offsets as the library counts them. */
export interface NativeResult {
  readonly ids: Int32Array;
  readonly offsets: (text: string) => ByteOffsets;
}

export interface NativeEngine {
  encode(texts: readonly string[]): Promise<NativeResult[]>;
}

/**
 * The reference implementation (Rust). It runs on its own threads, as many as the machine has cores
 * (`RAYON_NUM_THREADS` says otherwise).
 *
 * @throws TokensieveError fatal `bad-tokenizer` when the library refuses the definition
 */
export function openNative(binding: Binding, definition: Definition): NativeEngine {
  let tokenizer: NativeTokenizer;
  try {
    tokenizer = binding.Tokenizer.fromString(nativeJson(definition));
  } catch (cause) {
    throw fatalError(
      'bad-tokenizer',
      `${definition.path}: the native library refuses it: ${firstLine(cause)}`,
      { cause },
    );
  }
  const encodeChunk = async (chunk: string[]): Promise<NativeResult[]> => {
    const encodings = await tokenizer.encodeBatch(chunk, OPTIONS);
    return encodings.map((encoding) => ({
      ids: new Int32Array(encoding.getIds()),
      offsets: (text) => nativeOffsets(encoding, text),
    }));
  };
  return {
    async encode(texts) {
      const chunks = chunksOf(texts, CHUNK_UNITS);
      const results: NativeResult[][] = [];
      let ahead: Promise<NativeResult[]> | null = null;
      for (const chunk of chunks) {
        const under = encodeChunk(chunk);
        under.catch(() => undefined);
        if (ahead !== null) results.push(await ahead);
        ahead = under;
      }
      if (ahead !== null) results.push(await ahead);
      return results.flat();
    },
  };
}

/** The file that the library reads: neither truncation, padding nor template, and nothing left to its defaults. */
function nativeJson({ normalizer, preTokenizer, addedTokens, model }: Definition): string {
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens,
    normalizer,
    pre_tokenizer: preTokenizer,
    post_processor: null,
    decoder: null,
    model: nativeModel(model),
  });
}

function nativeModel(model: Model): object {
  if (model.type === 'Unigram') {
    const { vocab, scores, unkId, byteFallback } = model;
    return {
      type: 'Unigram',
      unk_id: unkId,
      byte_fallback: byteFallback,
      vocab: [...vocab].map(([piece, id]) => [piece, scores[id] ?? 0]),
    };
  }
  return {
    type: 'BPE',
    dropout: null,
    unk_token: model.unkToken,
    continuing_subword_prefix: model.continuingSubwordPrefix || null,
    end_of_word_suffix: model.endOfWordSuffix || null,
    fuse_unk: model.fuseUnk,
    byte_fallback: model.byteFallback,
    ignore_merges: model.ignoreMerges,
    vocab: Object.fromEntries(model.vocab),
    merges: model.merges,
  };
}

/** The library counts code points; here they become UTF-8 bytes. */
function nativeOffsets(encoding: NativeEncoding, text: string): ByteOffsets {
  const bytesBefore = new Int32Array(text.length + 1);
  let points = 0;
  let bytes = 0;
  for (const char of text) {
    bytesBefore[points++] = bytes;
    bytes += utf8Length(char.codePointAt(0) ?? 0);
  }
  bytesBefore[points] = bytes;
  const spans = encoding.getOffsets();
  const byteAt = (side: 0 | 1): Int32Array =>
    Int32Array.from(spans, (span) => bytesBefore[span[side] ?? 0] ?? bytes);
  return { byteStart: byteAt(0), byteEnd: byteAt(1) };
}
