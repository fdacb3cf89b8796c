import { BPE, ByteLevelPreTokenizer, SplitPreTokenizer } from '@huggingface/tokenizers';
import type { BpeModel } from './definition.js';
import { makeWordSplitter, type WordSplitter } from './merging.js';
import { makeCutting, piecesOf } from './pieces.js';
import type { Recipe } from './recipe.js';

/** What a worker needs to encode: plain data that crosses threads. */
export interface PortableSource {
  readonly model: BpeModel;
  readonly recipe: Recipe;
}

/** Words remembered with their ids, and how long one may be. Natural text repeats nearly all of its words. */
const REMEMBERED_WORDS = 1 << 16;
const REMEMBERED_LENGTH = 48;

/** The library's model, but for the merging itself: see merging.ts. */
class MergingBpe extends BPE {
  splitWord: WordSplitter = (word) => [...word];

  override bpe(word: string): string[] {
    return this.splitWord(word);
  }
}

/**
 * An encoder that needs no native code: `@huggingface/tokenizers` splits words, writes them as bytes and
 * falls back to byte pieces; the recipe does what comes before. Synchronous, for one thread.
 */
export function makePortableEncoder({
  model: definition,
  recipe,
}: PortableSource): (text: string) => Int32Array<ArrayBuffer> {
  const model = makeModel(definition);
  const splitters = recipe.words.map(makeSplitter);
  const byteSplitters = recipe.byteWords.map(makeSplitter);
  const bytes = recipe.byteLevel
    ? new ByteLevelPreTokenizer({ type: 'ByteLevel', add_prefix_space: false, use_regex: false })
    : null;
  const cutting = makeCutting(recipe);
  const remembered = new Map<string, readonly number[]>();

  const encodeWord = (word: string): readonly number[] => {
    const known = remembered.get(word);
    if (known !== undefined) return known;
    let words = bytes === null ? [word] : bytes.pre_tokenize(word);
    for (const splitter of byteSplitters) words = words.flatMap(splitter);
    const pieces = model.encode(words);
    const ids = pieces.map((piece) => idOf(model, piece));
    if (word.length <= REMEMBERED_LENGTH) {
      if (remembered.size === REMEMBERED_WORDS) remembered.clear();
      // A copy: a word cut out of a document would keep the whole document in memory.
      remembered.set(Buffer.from(word, 'utf16le').toString('utf16le'), ids);
    }
    return ids;
  };

  return (text) => {
    const out = new IdList();
    // Half a surrogate pair is U+FFFD to the native library, as to every UTF-8 encoder.
    for (const piece of piecesOf(cutting, text.replace(/\p{Surrogate}/gu, '\ufffd'))) {
      if (typeof piece === 'number') {
        out.push(piece);
        continue;
      }
      let words = [piece];
      for (const splitter of splitters) words = words.flatMap(splitter);
      for (const word of words) for (const id of encodeWord(word)) out.push(id);
    }
    return out.finish();
  };
}

/**
 * Words of a text by the library's own pattern; what lies between two of them is a word too. The library's loop makes a
 * copy of the pattern for every text it is given, which costs more than all else where the texts are words already.
 */
function makeSplitter(words: string): (text: string) => string[] {
  const pattern = patternOf(words);
  return (text) => {
    const found: string[] = [];
    let end = 0;
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
      const [word] = match;
      if (end < match.index) found.push(text.slice(end, match.index));
      if (word !== '') found.push(word);
      // A match of nothing would be found at the same place for ever.
      else pattern.lastIndex += (text.codePointAt(match.index) ?? 0) > 0xffff ? 2 : 1;
      end = match.index + word.length;
    }
    if (end < text.length) found.push(text.slice(end));
    return found;
  };
}

function patternOf(words: string): RegExp {
  const { pattern } = new SplitPreTokenizer({
    type: 'Split',
    pattern: { Regex: words },
    behavior: 'Isolated',
    invert: false,
  });
  if (pattern === null || !pattern.global) throw new Error(`the library gives no pattern for ${words}`);
  return pattern;
}

function idOf({ tokens_to_ids: ids }: BPE, piece: string): number {
  const id = ids.get(piece);
  if (id !== undefined) return id;
  throw new Error(`the piece ${JSON.stringify(piece)} has no id in the vocabulary`);
}

function makeModel({ vocab, merges, unkToken, byteFallback, ignoreMerges }: BpeModel): BPE {
  const model = new MergingBpe({
    type: 'BPE',
    vocab: Object.fromEntries(vocab),
    merges: [],
    // What is unknown here sets its text aside (unspellable.ts), so that there is nothing to fuse.
    unk_token: unkToken ?? '',
    fuse_unk: false,
    byte_fallback: byteFallback,
    ignore_merges: ignoreMerges,
  });
  model.splitWord = makeWordSplitter(vocab, merges);
  return model;
}

/** Ids of a length not known beforehand. */
class IdList {
  private ids = new Int32Array(1024);
  private length = 0;

  push(id: number): void {
    if (this.length === this.ids.length) {
      const grown = new Int32Array(this.length * 2);
      grown.set(this.ids);
      this.ids = grown;
    }
    this.ids[this.length++] = id;
  }

  finish(): Int32Array<ArrayBuffer> {
    return this.ids.slice(0, this.length);
  }
}
