import { bytePiece } from './bytes.js';
import { type AddedToken, type BpeModel, type Component, type Definition, flatten } from './definition.js';
import { digitClass, punctuationPattern } from './unicode.js';
import { isSentinel } from './unspellable.js';
import { GPT2_WORDS, portablePattern } from './words.js';

/** SentencePiece's mark for a space. */
export const MARK = '\u2581';

/**
 * How text becomes words for BPE, for the tokenizers whose every step is known exactly: the portable engine works
 * by it, and byte offsets follow from it for either engine. In this order: added tokens found in the raw text cut
 * it into sections; a section is normalized (`nfc`, `prepend`, `markSpaces`); added tokens found in the
 * normalized text cut it again; `prefix`; `words` split what is left; `byteLevel` writes it as bytes.
 */
export interface Recipe {
  readonly nfc: boolean;
  /** Puts "▁" before every section that is not empty. */
  readonly prepend: boolean;
  /** Turns every space into "▁". */
  readonly markSpaces: boolean;
  /** Put before a piece of text that does not begin with it: before each one, or only at the document's start. */
  readonly prefix: { readonly text: string; readonly where: 'every' | 'first' } | null;
  /** Patterns applied one after the other; what lies between two matches is a word too. */
  readonly words: readonly string[];
  readonly byteLevel: boolean;
  /** Patterns applied to words that are written as bytes already (Falcon). */
  readonly byteWords: readonly string[];
  readonly rawTokens: readonly AddedToken[];
  readonly normalizedTokens: readonly AddedToken[];
}

/** A recipe, or in one clause why there is none. */
export type RecipeOrRefusal = { readonly recipe: Recipe } | { readonly refusal: string };

class Refusal extends Error {}

/**
 * The recipe of a definition. Refuses whatever is not known to come out the same as in the native library; the
 * native engine takes those tokenizers alone.
 */
export function recipeOf(definition: Definition): RecipeOrRefusal {
  try {
    return { recipe: buildRecipe(definition) };
  } catch (error) {
    if (error instanceof Refusal) return { refusal: error.message };
    throw error;
  }
}

function buildRecipe({ normalizer, preTokenizer, model, addedTokens }: Definition): Recipe {
  if (model.type !== 'BPE') throw new Refusal(`its model is ${model.type}`);
  if (model.continuingSubwordPrefix !== '' || model.endOfWordSuffix !== '') {
    throw new Refusal('its pieces carry word prefixes or suffixes');
  }
  const normalization = readNormalizer(normalizer);
  const splitting = readPreTokenizer(preTokenizer, normalization.markSpaces);
  if (!splitting.byteLevel && !unknownNeverComes(model)) {
    throw new Refusal('some characters are its unknown token');
  }
  checkAddedTokens(addedTokens, splitting.marksSpaces);
  const recipe = {
    nfc: normalization.nfc,
    prepend: normalization.prepend,
    markSpaces: normalization.markSpaces || splitting.marksSpaces,
    prefix: splitting.prefix,
    words: [...splitting.words],
    byteLevel: splitting.byteLevel,
    byteWords: splitting.byteWords,
    rawTokens: addedTokens.filter(({ normalized }) => !normalized),
    normalizedTokens: addedTokens.filter(({ normalized }) => normalized),
  };
  if (recipe.prefix !== null && recipe.prepend) throw new Refusal('it adds two kinds of prefix');
  if (recipe.words.length === 0 && !recipe.byteLevel && wordsBeginAtMarks(model.merges)) {
    // No merge crosses from a character to a mark, so that cutting there changes no token, and words repeat
    // where documents do not: the library's cache works, and its cost stays near linear.
    recipe.words.push(`${MARK}*[^${MARK}]+|${MARK}+`);
  }
  return recipe;
}

function readNormalizer(normalizer: Component | null): Pick<Recipe, 'nfc' | 'prepend' | 'markSpaces'> {
  const steps = { nfc: false, prepend: false, markSpaces: false };
  for (const step of flatten(normalizer)) {
    if (step.type === 'NFC' && !steps.prepend && !steps.markSpaces) steps.nfc = true;
    else if (step.type === 'Prepend' && step['prepend'] === MARK && !steps.prepend) steps.prepend = true;
    else if (step.type === 'Replace' && marksSpaces(step)) steps.markSpaces = true;
    else throw new Refusal(`its normalizer ${step.type} is not one whose results are known to agree`);
  }
  return steps;
}

interface Splitting extends Pick<Recipe, 'prefix' | 'byteLevel' | 'words' | 'byteWords'> {
  readonly marksSpaces: boolean;
}

function readPreTokenizer(preTokenizer: Component | null, spacesAreMarks: boolean): Splitting {
  const words: string[] = [];
  const byteWords: string[] = [];
  let byteLevel = false;
  let marks = false;
  let prefix: Recipe['prefix'] = null;
  for (const [index, step] of flatten(preTokenizer).entries()) {
    const later = step.type === 'Split' || step.type === 'Digits';
    if (marks || (byteLevel && !later))
      throw new Refusal(`a pre-tokenizer (${step.type}) follows ByteLevel or Metaspace`);
    const list = byteLevel ? byteWords : words;
    if (step.type === 'ByteLevel') {
      if (step['add_prefix_space'] !== false) {
        if (index > 0) throw new Refusal('ByteLevel adds a space to every word');
        prefix = { text: ' ', where: 'every' };
      }
      if (step['use_regex'] !== false) words.push(pattern(GPT2_WORDS));
      byteLevel = true;
    } else if (step.type === 'Metaspace' && index === 0) {
      prefix = metaspacePrefix(step);
      // A word begins at each mark.
      if (step['split'] !== false) words.push(`${MARK}?[^${MARK}]+|${MARK}`);
      marks = true;
    } else if (step.type === 'Split' && spacesAreMarks && splitsAtSpaces(step)) {
      // Nothing to split at: the normalizer has turned every space into "▁" (Gemma 3).
    } else if (step.type === 'Split') {
      list.push(splitPattern(step));
    } else if (step.type === 'Digits') {
      list.push(`[${digitClass()}]${step['individual_digits'] === true ? '' : '+'}`);
    } else if (step.type === 'Punctuation' && PUNCTUATION_BEHAVIOURS.has(step['behavior'])) {
      list.push(`${punctuationPattern()}${step['behavior'] === 'Contiguous' ? '+' : ''}`);
    } else {
      throw new Refusal(`its pre-tokenizer ${step.type} is not one whose results are known to agree`);
    }
  }
  return { words, byteWords, byteLevel, prefix, marksSpaces: marks };
}

function metaspacePrefix(step: Component): Recipe['prefix'] {
  if ((step['replacement'] ?? MARK) !== MARK) throw new Refusal('its Metaspace does not write "▁"');
  const scheme = step['prepend_scheme'];
  if (scheme === 'never') return null;
  if (scheme === 'always' || scheme === 'first') {
    return { text: MARK, where: scheme === 'always' ? 'every' : 'first' };
  }
  throw new Refusal('its Metaspace states no prepend_scheme');
}

function splitPattern(step: Component): string {
  const given = step['pattern'];
  const source = typeof given === 'object' && given !== null && 'Regex' in given ? given.Regex : null;
  const whole = step['behavior'] === 'Isolated' && step['invert'] !== true;
  if (typeof source !== 'string' || !whole) {
    throw new Refusal(
      `its pre-tokenizer Split (${String(step['behavior'])}) is not one whose results are known to agree`,
    );
  }
  return pattern(source);
}

function pattern(source: string): string {
  const portable = portablePattern(source);
  if (portable === null)
    throw new Refusal(`its pattern ${JSON.stringify(source)} may mean another thing here`);
  return portable;
}

function checkAddedTokens(tokens: readonly AddedToken[], marks: boolean): void {
  const strips = tokens.filter(({ lstrip, rstrip }) => lstrip || rstrip);
  const edged = tokens.some(({ content }) => /^\p{White_Space}|\p{White_Space}$/u.test(content));
  for (const { content, single_word, normalized } of tokens) {
    if (single_word) throw new Refusal(`its added token ${JSON.stringify(content)} matches whole words only`);
    if (normalized && marks && content.includes(' ')) {
      throw new Refusal(`its added token ${JSON.stringify(content)} holds a space that Metaspace rewrites`);
    }
  }
  if (strips.some(({ normalized }) => normalized) || (strips.length > 0 && edged)) {
    throw new Refusal('added tokens that swallow white space overlap others');
  }
}

const PUNCTUATION_BEHAVIOURS = new Set<unknown>([undefined, 'Isolated', 'Contiguous']);

const splitsAtSpaces = ({ pattern: given }: Component): boolean =>
  typeof given === 'object' && given !== null && 'String' in given && given.String === ' ';

const marksSpaces = ({ pattern: given, content }: Component): boolean =>
  typeof given === 'object' &&
  given !== null &&
  'String' in given &&
  given.String === ' ' &&
  content === MARK;

/**
 * Whether no text gives the unknown token: the two engines do not put it at the same place beside byte pieces. A byte piece
 * may be missing where its character is a piece itself (Gemma's tab).
 */
function unknownNeverComes({ byteFallback, vocab, unkToken }: BpeModel): boolean {
  if (!byteFallback) return false;
  if (unkToken !== null && isSentinel(unkToken)) return true;
  return Array.from({ length: 0xf5 }, (_, byte) => byte).every(
    (byte) =>
      vocab.has(bytePiece(byte)) ||
      byte === 0xc0 ||
      byte === 0xc1 ||
      (byte < 0x80 && vocab.has(String.fromCharCode(byte))),
  );
}

const wordsBeginAtMarks = (merges: BpeModel['merges']): boolean =>
  !merges.some(([left, right]) => right.startsWith(MARK) && !left.endsWith(MARK));
