/**
 * Expressions as answers have them, from LaTeX or from a program's print (`2*sqrt(3)`), read into a tree. What is no
 * expression of numbers and variables (sets, relations, words, other bases) is refused: null.
 */

export type Expression =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'sum' | 'product'; readonly of: readonly Expression[] }
  | { readonly kind: 'negative'; readonly of: Expression }
  | { readonly kind: 'quotient' | 'power'; readonly of: Expression; readonly by: Expression }
  | { readonly kind: 'call'; readonly name: FunctionName; readonly of: Expression };

export const FUNCTION_NAMES = [
  ...['sin', 'cos', 'tan', 'cot', 'sec', 'csc', 'sinh', 'cosh', 'tanh'],
  ...['arcsin', 'arccos', 'arctan', 'exp', 'ln', 'log', 'sqrt', 'abs', 'floor', 'ceil', 'factorial'],
] as const;
export type FunctionName = (typeof FUNCTION_NAMES)[number];

const FUNCTIONS: ReadonlyMap<string, FunctionName> = new Map([
  ...FUNCTION_NAMES.map((name) => [name, name] as const),
  ...([
    ['asin', 'arcsin'],
    ['acos', 'arccos'],
    ['atan', 'arctan'],
    ['lg', 'log'],
    ['Abs', 'abs'],
  ] as const),
]);

/** Names that a run of letters may start with; every other letter is a variable of its own. */
const WORDS: readonly string[] = [...FUNCTIONS.keys(), 'pi', 'theta', 'alpha', 'beta', 'infty', 'oo'].sort(
  (a, b) => b.length - a.length,
);
/** Commands that are names of values; others refuse the answer. */
const GREEK =
  /^(?:alpha|beta|gamma|delta|epsilon|varepsilon|theta|lambda|mu|nu|rho|sigma|tau|phi|varphi|omega|pi|infty)$/;
const STRUCTURE = [
  'frac',
  'binom',
  'sqrt',
  'cdot',
  'times',
  'div',
  'lfloor',
  'rfloor',
  'lceil',
  'rceil',
  'vert',
  'lvert',
  'rvert',
];
const COMMANDS: readonly string[] = [
  ...STRUCTURE,
  ...FUNCTION_NAMES,
  ...[
    'alpha',
    'beta',
    'gamma',
    'delta',
    'epsilon',
    'varepsilon',
    'theta',
    'lambda',
    'mu',
    'nu',
    'rho',
    'sigma',
  ],
  ...['tau', 'phi', 'varphi', 'omega', 'pi', 'infty'],
].sort((a, b) => b.length - a.length);

/** Beyond these an answer is not read: no right answer comes near. */
const MOST_TOKENS = 1024;
const MOST_DEPTH = 64;

class Unreadable extends Error {}

/** The tree of an answer in normal form, or null where it is no expression. */
export function readExpression(text: string): Expression | null {
  try {
    const reader = new Reader(tokensOf(text));
    const found = reader.sum();
    return reader.atEnd() ? found : null;
  } catch (error) {
    if (error instanceof Unreadable) return null;
    throw error;
  }
}

/** `1,234.5`, `\frac`, a word, a letter, or one sign. */
function tokensOf(text: string): readonly string[] {
  const tokens: string[] = [];
  const pattern =
    /\s+|\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+\.?\d*(?:[eE]-?\d+(?![\d.]))?|\.\d+|\\[a-zA-Z]+|\*\*|[a-zA-Z]+|[-+*/^_()[\]{}|!']/y;
  while (pattern.lastIndex < text.length) {
    const found = pattern.exec(text)?.[0];
    if (found === undefined) throw new Unreadable();
    if (/^\\/.test(found)) tokens.push(...commandsIn(found.slice(1)));
    else if (/^[a-zA-Z]/.test(found)) tokens.push(...wordsIn(found));
    else if (found.trim() !== '') tokens.push(found === '**' ? '^' : found);
    if (tokens.length > MOST_TOKENS) throw new Unreadable();
  }
  return tokens;
}

/** A command, and the letters that lost the space before them: `\pix`. */
function commandsIn(letters: string): readonly string[] {
  const command = COMMANDS.find((name) => letters.startsWith(name));
  if (command === undefined) throw new Unreadable();
  return [`\\${command}`, ...wordsIn(letters.slice(command.length))];
}

/** `xsin` as x · sin: known names where they stand, single letters else. */
function wordsIn(letters: string): readonly string[] {
  const found: string[] = [];
  for (let at = 0; at < letters.length; ) {
    const word = WORDS.find((name) => letters.startsWith(name, at));
    found.push(word === undefined ? (letters[at] ?? '') : `\\${word === 'oo' ? 'infty' : word}`);
    at += word?.length ?? 1;
  }
  return found;
}

const CLOSING: Readonly<Record<string, string>> = {
  '(': ')',
  '[': ']',
  '{': '}',
  '|': '|',
  '\\vert': '\\vert',
  '\\lvert': '\\rvert',
  '\\lfloor': '\\rfloor',
  '\\lceil': '\\rceil',
};
const AROUND: Readonly<Record<string, FunctionName>> = {
  '|': 'abs',
  '\\vert': 'abs',
  '\\lvert': 'abs',
  '\\lfloor': 'floor',
  '\\lceil': 'ceil',
};

const number = (value: number): Expression => ({ kind: 'number', value });

/** Recursive descent. Depth is counted, so that no answer ends the stack. */
class Reader {
  private at = 0;
  private depth = 0;
  /** Brackets that are open: `|` closes where it opened. */
  private readonly open: string[] = [];

  constructor(private readonly tokens: readonly string[]) {}

  atEnd(): boolean {
    return this.at === this.tokens.length;
  }

  private peek(): string {
    return this.tokens[this.at] ?? '';
  }

  private take(wanted: string): boolean {
    if (this.peek() !== wanted) return false;
    this.at++;
    return true;
  }

  private expect(wanted: string): void {
    if (!this.take(wanted)) throw new Unreadable();
  }

  sum(): Expression {
    if (++this.depth > MOST_DEPTH) throw new Unreadable();
    const of = [this.signed()];
    while (this.peek() === '+' || this.peek() === '-') of.push(this.signed());
    this.depth--;
    return of.length === 1 && of[0] !== undefined ? of[0] : { kind: 'sum', of };
  }

  private signed(): Expression {
    let negative = false;
    while (this.peek() === '+' || this.peek() === '-') {
      if (this.peek() === '-') negative = !negative;
      this.at++;
    }
    const of = this.product();
    return negative ? { kind: 'negative', of } : of;
  }

  private product(): Expression {
    let left = this.mixed() ?? this.factor();
    for (;;) {
      const sign = this.peek();
      if (sign === '*' || sign === '\\cdot' || sign === '\\times') {
        this.at++;
        left = { kind: 'product', of: [left, this.signedFactor()] };
      } else if (sign === '/' || sign === '\\div') {
        this.at++;
        left = { kind: 'quotient', of: left, by: this.signedFactor() };
      } else if (this.startsFactor()) {
        // A number right after a factor is no product as anyone writes it.
        if (/^[\d.]/.test(sign)) throw new Unreadable();
        left = { kind: 'product', of: [left, this.factor()] };
      } else return left;
    }
  }

  /** `1\frac{4}{5}`: a whole number and a proper fraction of two whole numbers are a mixed number. */
  private mixed(): Expression | null {
    const [whole = '', frac, open, over = '', close, open2, under = '', close2] = this.tokens.slice(
      this.at,
      this.at + 8,
    );
    const isMixed =
      `${frac}${open}${close}${open2}${close2}` === '\\frac{}{}' &&
      [whole, over, under].every((part) => /^\d+$/.test(part)) &&
      Number(over) < Number(under);
    if (!isMixed) return null;
    this.at += 8;
    return number(Number(whole) + Number(over) / Number(under));
  }

  private signedFactor(): Expression {
    if (this.take('-')) return { kind: 'negative', of: this.factor() };
    this.take('+');
    return this.factor();
  }

  private startsFactor(): boolean {
    const next = this.peek();
    if (next === '' || next === this.open.at(-1)) return false;
    return /^(?:[\w.([{|]|\\(?!rfloor|rceil|rvert|cdot|times|div))/.test(next) && next !== '_';
  }

  /** A value with its powers and factorials. */
  private factor(): Expression {
    if (++this.depth > MOST_DEPTH) throw new Unreadable();
    let value = this.value();
    for (;;) {
      if (this.take('^')) value = { kind: 'power', of: value, by: this.exponent() };
      else if (this.take('!')) value = { kind: 'call', name: 'factorial', of: value };
      else break;
    }
    this.depth--;
    return value;
  }

  /** `^2x` is x² times x's neighbour in LaTeX, `^12` of a program is twelve; powers of powers group to the right. */
  private exponent(): Expression {
    if (this.take('-')) return { kind: 'negative', of: this.exponent() };
    if (this.peek() === '{' || this.peek() === '(') {
      const inner = this.value();
      return this.take('^') ? { kind: 'power', of: inner, by: this.exponent() } : inner;
    }
    return this.factor();
  }

  private value(): Expression {
    const token = this.peek();
    this.at++;
    if (/^[\d.]/.test(token)) {
      // An index makes it a numeral of another base.
      if (this.peek() === '_') throw new Unreadable();
      return number(Number(token.replaceAll(',', '')));
    }
    if (CLOSING[token] !== undefined) return this.enclosed(token);
    if (token === '\\frac') return { kind: 'quotient', of: this.argument(), by: this.argument() };
    if (token === '\\binom') return binomial(this.argument(), this.argument());
    if (token === '\\sqrt') return this.root();
    const name = token.replace(/^\\/, '');
    const called = FUNCTIONS.get(name);
    if (called !== undefined && token.startsWith('\\')) return this.call(called);
    if (/^[a-zA-Z]$/.test(token) || (token.startsWith('\\') && GREEK.test(name)))
      return { kind: 'name', name: `${name}${this.index()}` };
    throw new Unreadable();
  }

  private enclosed(opening: string): Expression {
    const closing = CLOSING[opening] ?? '';
    this.open.push(closing);
    const of = this.sum();
    this.open.pop();
    this.expect(closing);
    const name = AROUND[opening];
    return name === undefined ? of : { kind: 'call', name, of };
  }

  private argument(): Expression {
    if (this.take('{')) return this.enclosed('{');
    const token = this.peek();
    if (!/^(?:\d|[a-zA-Z]$|\\pi$)/.test(token)) throw new Unreadable();
    return this.value();
  }

  private root(): Expression {
    let degree: Expression = number(2);
    if (this.take('[')) degree = this.enclosed('[');
    const of = this.peek() === '(' || this.peek() === '{' ? this.value() : this.argument();
    if (degree.kind === 'number' && degree.value === 2) return { kind: 'call', name: 'sqrt', of };
    return { kind: 'power', of, by: { kind: 'quotient', of: number(1), by: degree } };
  }

  /** `\sin x`, `\sin^2 x`, `\sin(x)`, `\log_2 8`; `\sin^{-1}` is the inverse. */
  private call(name: FunctionName): Expression {
    let base: Expression | null = null;
    let power: Expression | null = null;
    while (this.peek() === '_' || this.peek() === '^') {
      if (this.take('_')) base = this.argument();
      else if (this.take('^')) power = this.peek() === '{' ? this.value() : this.argument();
    }
    const inverse = inverseOf(name, power);
    const of = this.operand();
    let value: Expression = { kind: 'call', name: inverse ?? name, of };
    if (base !== null) {
      if (name !== 'log') throw new Unreadable();
      value = {
        kind: 'quotient',
        of: { kind: 'call', name: 'ln', of },
        by: { kind: 'call', name: 'ln', of: base },
      };
    }
    return power === null || inverse !== null ? value : { kind: 'power', of: value, by: power };
  }

  /** What a function without brackets takes: the factors up to the next sign or function. */
  private operand(): Expression {
    if (this.peek() === '(' || this.peek() === '{' || this.peek() === '[') return this.value();
    if (!this.startsFactor()) throw new Unreadable();
    let of = this.factor();
    while (this.startsFactor() && !FUNCTIONS.has(this.peek().slice(1)) && !/^[([\d]/.test(this.peek()))
      of = { kind: 'product', of: [of, this.factor()] };
    return of;
  }

  /** `_1`, `_{12}` or `_n` of a variable. */
  private index(): string {
    if (!this.take('_')) return '';
    const braces = this.take('{');
    const token = this.peek();
    if (!/^(?:\d+|[a-zA-Z])$/.test(token)) throw new Unreadable();
    this.at++;
    if (braces) this.expect('}');
    return `_${token}`;
  }
}

function inverseOf(name: FunctionName, power: Expression | null): FunctionName | null {
  const isInverse = power?.kind === 'negative' && power.of.kind === 'number' && power.of.value === 1;
  if (!isInverse) return null;
  return name === 'sin' ? 'arcsin' : name === 'cos' ? 'arccos' : name === 'tan' ? 'arctan' : null;
}

const factorial = (of: Expression): Expression => ({ kind: 'call', name: 'factorial', of });

const binomial = (n: Expression, k: Expression): Expression => ({
  kind: 'quotient',
  of: factorial(n),
  by: {
    kind: 'product',
    of: [factorial(k), factorial({ kind: 'sum', of: [n, { kind: 'negative', of: k }] })],
  },
});
