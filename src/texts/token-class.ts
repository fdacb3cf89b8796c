/** What a token is, by its own text; see docs/audit.md for the rules. */
export const TOKEN_CLASSES = [
  'word',
  'number',
  'math',
  'code',
  'punctuation',
  'whitespace',
  'markup',
  'bytes',
  'control',
] as const;
export type TokenClass = (typeof TOKEN_CLASSES)[number];

/** `</div>`, `<br`, `-->`, `&nbsp;`, and the marks of Markdown and of bare links. */
const MARKUP =
  /^(?:<\/?[a-z!?][^<>]*>?|<\/|<!-*|-*-->|[^<>]*\/>|["']>|>[<]|&(?:#\d*|#x[\da-f]*|[a-z]+);?|!\[|\]\(|:\/\/\p{L}*|#{2,6}|\*{2,3}|_{2,3}|`{1,3}|[-=]{3,}|\|[-:|]+)$/iu;
/** `\frac`, `$`, `^{`, `_n`, `}{`, signs of operations and relations, a Greek letter by itself. */
const MATH =
  /\\(?:[a-z]+|[()[\]{}|,;!:\\]|$)|\$|\^|^_(?:[{(]|.?$)|[}\])]_|_[{\\]|^[{}=]*[{}][{}=]*$|^&=$|\}\{|^\p{Script=Greek}$|^[+<>=±]$|(?![+<>=|~^])\p{Sm}/iu;
/** `);`, `=>`, `::`, `x.y(`, `snake_case`, `camelCase`. */
const CODE =
  /[=!<>+*/%&|-]=|=>|->|<-|<<|>>|&&|\|\||\+\+|::|\/\*|\*\/|\/\/|\(\)|\[\]|\{\}|[{}()[\]"'];|;[{}()]|[{}][()=;,]|[()=;,][{}]|[\p{L}_]\(|\p{L}_|_\p{L}{2}|\p{Ll}\p{Lu}\p{Ll}/u;
const NUMBER = /^[\p{N}.,]*\p{N}[\p{N}.,]*$/u;

/**
 * The class of a token by its own text, without the white space around it; the first rule that fits, in this order:
 * white space, markup, math, code, number, word, punctuation. What a token means where it stands plays no part.
 * @param text of the token; null where its bytes are no text by themselves · @param control a special token
 */
export function tokenClass(text: string | null, control: boolean): TokenClass {
  if (control) return 'control';
  if (text === null) return 'bytes';
  const own = text.trim();
  if (own === '') return 'whitespace';
  // A piece of a vocabulary is short; what is not, a damaged one, is judged by its beginning.
  const start = own.slice(0, 256);
  if (MARKUP.test(start)) return 'markup';
  if (MATH.test(start)) return 'math';
  if (CODE.test(start)) return 'code';
  if (NUMBER.test(start)) return 'number';
  return /\p{L}/u.test(start) ? 'word' : 'punctuation';
}
