import { afterClass, afterEscape, afterGroupHead, quantifierPattern } from './pattern-syntax.js';

/** Deeper groups count as empty: no pattern in use has them. */
const MAX_DEPTH = 32;
const LOOKAROUND = /^\(\?<?[=!]/;
const ANCHOR = /^\\[bBAzZGK]/;

interface Group {
  /** Whether an alternative that has ended may be empty. */
  some: boolean;
  /** Whether all of the alternative so far may be empty. */
  all: boolean;
  readonly lookaround: boolean;
}

/**
 * Whether a pattern may match without taking a character: `a*`, `^`, `(?=a)`, `a|`. Reads what Oniguruma and JavaScript
 * share, and says yes when in doubt.
 */
export function mayMatchNothing(source: string): boolean {
  const stack: Group[] = [{ some: false, all: true, lookaround: false }];
  const quantifier = quantifierPattern();
  let at = 0;
  while (at < source.length) {
    const group = stack.at(-1);
    if (group === undefined || stack.length > MAX_DEPTH) return true;
    const char = source.charAt(at);
    let empty = false;
    if (char === '(') {
      stack.push({ some: false, all: true, lookaround: LOOKAROUND.test(source.slice(at, at + 4)) });
      at = afterGroupHead(source, at);
      continue;
    }
    if (char === '|') {
      group.some ||= group.all;
      group.all = true;
      at++;
      continue;
    }
    if (char === ')') {
      if (stack.length === 1) return true;
      stack.pop();
      empty = group.lookaround || group.some || group.all;
      at++;
    } else if (char === '[') at = afterClass(source, at);
    else if (char === '\\') {
      empty = ANCHOR.test(source.slice(at, at + 2)) || /[\dgk]/.test(source.charAt(at + 1));
      at = afterEscape(source, at);
    } else {
      empty = char === '^' || char === '$';
      at++;
    }
    for (;;) {
      quantifier.lastIndex = at;
      const found = quantifier.exec(source);
      if (found === null) break;
      // `{,3}` begins at none.
      const least = found[0] === '+' ? 1 : Number(found[1] ?? 0);
      empty ||= least === 0;
      at += found[0].length;
      // Lazy or possessive, but that Oniguruma reads `a{2}?` as an optional one.
      if (/[?+]/.test(source.charAt(at)) && (found[1] === undefined || found[2] === ',')) at++;
    }
    const outer = stack.at(-1);
    if (outer !== undefined) outer.all &&= empty;
  }
  return stack.length > 1 || stack.some(({ some, all }) => some || all);
}
