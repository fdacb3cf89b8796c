import { type AddedToken, type Component, type Definition, flatten } from './definition.js';
import { digitClass } from './unicode.js';
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
  if (model.continuingSubwordPrefix !== '' || model.endOfWordSuffix !== '') {
    throw new Refusal('its pieces carry word prefixes or suffixes');
  }
  const normalization = readNormalizer(normalizer);
  const splitting = readPreTokenizer(preTokenizer);
  if (!splitting.byteLevel && !(model.byteFallback && hasBytePieces(model.vocab))) {
    throw new Refusal('it has an unknown token instead of byte pieces');
  }
  checkAddedTokens(addedTokens, splitting.marksSpaces);
  const recipe = {
    nfc: normalization.nfc,
    prepend: normalization.prepend,
    markSpaces: normalization.markSpaces || splitting.marksSpaces,
    prefix: splitting.prefix,
    words: [...splitting.words],
    byteLevel: splitting.byteLevel,
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

interface Splitting extends Pick<Recipe, 'prefix' | 'byteLevel' | 'words'> {
  readonly marksSpaces: boolean;
}

function readPreTokenizer(preTokenizer: Component | null): Splitting {
  const words: string[] = [];
  let byteLevel = false;
  let marks = false;
  let prefix: Recipe['prefix'] = null;
  for (const [index, step] of flatten(preTokenizer).entries()) {
    if (byteLevel || marks)
      throw new Refusal(`a pre-tokenizer (${step.type}) follows ByteLevel or Metaspace`);
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
    } else if (step.type === 'Split') {
      words.push(splitPattern(step));
    } else if (step.type === 'Digits') {
      words.push(`[${digitClass()}]${step['individual_digits'] === true ? '' : '+'}`);
    } else {
      throw new Refusal(`its pre-tokenizer ${step.type} is not one whose results are known to agree`);
    }
  }
  return { words, byteLevel, prefix, marksSpaces: marks };
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

const marksSpaces = ({ pattern: given, content }: Component): boolean =>
  typeof given === 'object' &&
  given !== null &&
  'String' in given &&
  given.String === ' ' &&
  content === MARK;

function hasBytePieces(vocab: ReadonlyMap<string, number>): boolean {
  // refuseUnsound has seen to it that one of them means all of them.
  return vocab.has('<0x00>');
}

const wordsBeginAtMarks = (merges: Definition['model']['merges']): boolean =>
  !merges.some(([left, right]) => right.startsWith(MARK) && !left.endsWith(MARK));
