import { fatalError, type TokensieveError } from '../errors.js';
import { whyItBacktracks } from './backtracking.js';
import { BYTE_ALPHABET, bytePiece } from './bytes.js';
import { whyBrokenCharsmap } from './charsmap.js';
import { type Component, type Definition, flatten } from './definition.js';
import { whyItAborts } from './native-aborts.js';

/**
 * Refuses definitions that would tokenize, but wrongly: pieces damaged on the way, text that would vanish without a
 * trace, ids that mean one thing here and another in the reference library. Fatal `bad-tokenizer`, one sentence.
 */
export function refuseUnsound(definition: Definition): void {
  refuseLostSpaces(definition);
  refuseStrayMerges(definition);
  refuseMissingBytes(definition);
  refuseStrayAddedTokens(definition);
  refuseBacktracking(definition);
  refuseBrokenCharsmaps(definition);
  refuseAborting(definition);
}

/**
 * A normalizer that turns every space into "▁" leaves none for the pieces to match. A piece with a space is
 * therefore dead, and dead pieces are what remains of non-breaking spaces that some tool "cleaned".
 */
function refuseLostSpaces({ path, normalizer, model }: Definition): void {
  if (!flatten(normalizer).some(replacesSpaces)) return;
  const dead = [...model.vocab].filter(([piece]) => piece.includes(' '));
  const [first] = dead;
  if (first === undefined) return;
  throw bad(
    path,
    `${dead.length} of its pieces (id ${first[1]} is ${JSON.stringify(first[0])}) hold a space, which its normalizer turns into "▁" before they could match; the file is damaged, most often by turning non-breaking spaces into spaces: get an undamaged copy`,
  );
}

function refuseStrayMerges({ path, model }: Definition): void {
  if (model.type !== 'BPE') return;
  const { vocab, merges, continuingSubwordPrefix: prefix } = model;
  for (const [rank, [left, right]] of merges.entries()) {
    const product = left + right.slice(prefix.length);
    const missing = [left, right, product].find((piece) => !vocab.has(piece));
    if (missing !== undefined) {
      throw bad(
        path,
        `model.merges[${rank}] needs the piece ${JSON.stringify(missing)}, which model.vocab lacks; the file is damaged`,
      );
    }
  }
  if (model.unkToken !== null && !vocab.has(model.unkToken)) {
    throw bad(path, `model.unk_token is ${JSON.stringify(model.unkToken)}, which model.vocab lacks`);
  }
}

/**
 * A byte without a piece is dropped from the text in silence where there is no unknown token. Vocabularies made from a corpus
 * lack bytes that the corpus lacked: texts with one are set aside (unspellable.ts). One that lacks what every text is made
 * of was trained without the byte alphabet, and most of every text would go.
 */
function refuseMissingBytes({ path, preTokenizer, normalizer, model }: Definition): void {
  if (model.type === 'Unigram') {
    if (model.unkId !== null) return;
    throw bad(
      path,
      'model.unk_id is null, so that the reference library fails at every character without a piece',
    );
  }
  if (model.unkToken !== null) return;
  if (isByteLevel(preTokenizer) || isByteLevel(normalizer)) {
    const missing = BYTE_ALPHABET.filter((piece, byte) => inUtf8(byte) && !model.vocab.has(piece));
    const plain = BYTE_ALPHABET.find((piece, byte) => isPlain(byte) && !model.vocab.has(piece));
    if (plain === undefined) return;
    throw bad(
      path,
      `model.vocab lacks ${missing.length} of the byte pieces (${JSON.stringify(plain)}), so that parts of a text would vanish; train it with the whole byte alphabet`,
    );
  }
  if (!model.byteFallback) {
    throw bad(
      path,
      'characters without a piece would vanish: it has neither byte pieces nor model.unk_token',
    );
  }
  if (!model.vocab.has(bytePiece(0x80))) {
    throw bad(
      path,
      `model.vocab has no byte pieces (${bytePiece(0x80)}), so that characters without a piece would vanish`,
    );
  }
}

/** Printable ASCII and the line's end. */
const isPlain = (byte: number): boolean => byte === 0x0a || (byte >= 0x20 && byte < 0x7f);

/** Whether UTF-8 ever uses the byte; GPT-NeoX has no pieces for those it does not. */
const inUtf8 = (byte: number): boolean => byte < 0xc0 || (byte > 0xc1 && byte < 0xf5);

/**
 * The reference library ignores the ids that the file gives to added tokens: it takes the vocabulary's, or counts on
 * from its end. A file where the two differ has no one meaning.
 */
function refuseStrayAddedTokens({ path, addedTokens, model }: Definition): void {
  let next = model.vocab.size;
  const seen = new Map<string, number>();
  for (const { content, id } of addedTokens) {
    const expected = seen.get(content) ?? model.vocab.get(content) ?? next;
    if (id !== expected) {
      throw bad(
        path,
        `added token ${JSON.stringify(content)} has the id ${id}, but the reference library gives it ${expected}; number the added tokens on from the vocabulary's end, in order`,
      );
    }
    if (id === next) next++;
    seen.set(content, id);
  }
}

/** Before an engine sees it: one aborts the process, the other never ends. */
function refuseBacktracking({ path, normalizer, preTokenizer }: Definition): void {
  for (const { type, pattern } of [...flatten(normalizer), ...flatten(preTokenizer)]) {
    const source =
      typeof pattern === 'object' && pattern !== null && 'Regex' in pattern ? pattern.Regex : null;
    const why = typeof source === 'string' ? whyItBacktracks(source) : null;
    if (why === null) continue;
    throw bad(
      path,
      `the pattern of its ${type}, ${JSON.stringify(String(source).slice(0, 80))}, ${why}, so that a text could keep it busy without end; write it without`,
    );
  }
}

/** The native library ends the process over such a table: as the file is opened, or by some text later. */
function refuseBrokenCharsmaps({ path, normalizer }: Definition): void {
  for (const { type, precompiled_charsmap } of flatten(normalizer)) {
    const why = type === 'Precompiled' ? whyBrokenCharsmap(precompiled_charsmap) : null;
    if (why === null) continue;
    throw bad(path, `the precompiled_charsmap of its normalizer ${why}; the file is damaged`);
  }
}

/** After the tables are known to be whole. */
function refuseAborting(definition: Definition): void {
  const why = whyItAborts(definition);
  if (why !== null) throw bad(definition.path, why);
}

/** Whether words reach the model in the byte alphabet. */
export const isByteLevel = (component: Component | null): boolean =>
  flatten(component).some(({ type }) => type === 'ByteLevel');

const replacesSpaces = ({ type, pattern }: Component): boolean =>
  type === 'Replace' &&
  typeof pattern === 'object' &&
  pattern !== null &&
  'String' in pattern &&
  pattern.String === ' ';

const bad = (path: string, what: string): TokensieveError => fatalError('bad-tokenizer', `${path}: ${what}`);
