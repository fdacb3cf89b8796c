/** The syntax of patterns that Oniguruma and JavaScript share, as far as it takes to walk over one item by item. */

/** A quantifier where `lastIndex` says: least, comma and most are groups 1, 2 and 3 of one in braces. */
export const quantifierPattern = (): RegExp => /[*+?]|\{(\d*)(,?)(\d*)\}/y;

/** Behind `(?:`, `(?=`, `(?<!`, `(?<name>`, `(?i:` and the like, whose `?` is no quantifier. */
export function afterGroupHead(source: string, at: number): number {
  const head = /\((?:\?(?:<[^>=!]*>|<?[=!]|[:>~]|[a-zA-Z-]*:?))?/y;
  head.lastIndex = at;
  return at + (head.exec(source)?.[0].length ?? 1);
}

/** Behind a character class, classes within it and `]` as its first member too. */
export function afterClass(source: string, at: number): number {
  let depth = 0;
  for (let i = at; i < source.length; i++) {
    const char = source.charAt(i);
    if (char === '\\') i++;
    else if (char === '[') {
      depth++;
      if (source.charAt(i + 1) === '^') i++;
      if (source.charAt(i + 1) === ']') i++;
    } else if (char === ']' && --depth === 0) return i + 1;
  }
  return source.length;
}

/** Behind an escape; the braces of `\p{L}` and `\x{41}` are no quantifier. */
export function afterEscape(source: string, at: number): number {
  const escaped = /\\(?:[pPxu]\{[^}]*\}|[\s\S])?/y;
  escaped.lastIndex = at;
  return at + (escaped.exec(source)?.[0].length ?? 1);
}
