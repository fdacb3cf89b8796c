/**
 * Python's `str.isspace`, by which the harness moves white space from a context's end to the continuation: not JavaScript's,
 * which has U+FEFF and lacks U+0085 and the separators U+001C to U+001F.
 */
const isSpace = (code: number): boolean =>
  (code >= 0x09 && code <= 0x0d) ||
  (code >= 0x1c && code <= 0x20) ||
  code === 0x85 ||
  code === 0xa0 ||
  code === 0x1680 ||
  (code >= 0x2000 && code <= 0x200a) ||
  code === 0x2028 ||
  code === 0x2029 ||
  code === 0x202f ||
  code === 0x205f ||
  code === 0x3000;

/** The context without the white space at its end, which belongs to the continuation. */
export function strippedContext(context: string): string {
  let end = context.length;
  while (end > 0 && isSpace(context.charCodeAt(end - 1))) end--;
  return context.slice(0, end);
}
