/** Options that come as one string. */

/**
 * MathQA's `a ) 12 , b ) 16 , …`, by lm-evaluation-harness's own expression, so that the same strings are scored:
 * where a file has a Python list (`['a ) 12', 'b ) 16', …]`, 16 of the test file's first 1000), its quotes stay
 * with the options, and an option that holds ` , ` ends there.
 */
export function mathqaOptions(options: string): string[] {
  if (options.length > MOST_SEARCHED) return [];
  return (options.match(/[abcd] \) .*?, |e \) .*?$/g) ?? []).map((found) =>
    found.slice(4).replace(/[ ,]+$/, ''),
  );
}

/** The expression looks from every `a ) ` to the end of the string: longer ones would take long. */
const MOST_SEARCHED = 8192;

/**
 * `A) one B) two C) three`, or with dots: in order, each letter after white space and with the first one's sign.
 * Empty when it does not begin with an A.
 */
export function lettered(options: string): string[] {
  const text = options.trim();
  const sign = text[1];
  if (text[0] !== 'A' || (sign !== ')' && sign !== '.')) return [];
  const found: string[] = [];
  let from = 2;
  for (let code = 66; code <= 90; code++) {
    const mark = ` ${String.fromCharCode(code)}${sign} `;
    const end = text.indexOf(mark, from);
    if (end < 0) break;
    found.push(text.slice(from, end).trim());
    from = end + mark.length;
  }
  found.push(text.slice(from).trim());
  return found;
}
