/** Text that somebody else wrote, taken as UTF-8 or not at all: a letter that became U+FFFD is a name of nothing, or another text. */

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const NEWLINE = 0x0a;

/**
 * The text of bytes that are well-formed UTF-8.
 * @throws Error whose message says in a few words what they are, and the first line that is not UTF-8
 */
export function utf8Text(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    const [first, second] = bytes;
    if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
      throw new Error('is UTF-16, expected UTF-8; save it as UTF-8');
    throw new Error(`is not UTF-8 in line ${firstBadLine(bytes)}; save it as UTF-8`);
  }
}

/** From 1. No character of UTF-8 but the line feed has its byte. */
function firstBadLine(bytes: Uint8Array): number {
  for (let line = 1, from = 0; ; line++) {
    const end = bytes.indexOf(NEWLINE, from);
    try {
      strict.decode(bytes.subarray(from, end < 0 ? bytes.length : end));
    } catch {
      return line;
    }
    if (end < 0) return line;
    from = end + 1;
  }
}
