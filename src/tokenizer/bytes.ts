/**
 * The 256 characters with which byte-level BPE writes bytes: printable ones stand for themselves, the others for
 * U+0100 and on (Radford et al. 2019, GPT-2's `bytes_to_unicode`). Index = byte.
 */
export const BYTE_ALPHABET: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCharCode(printable ? byte : next++);
  });
})();

/** The piece of one byte in a vocabulary with byte fallback (SentencePiece): `<0x0A>`. */
export const bytePiece = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;

/** UTF-8 bytes of a code point; a lone surrogate counts as the U+FFFD that it becomes. */
export const utf8Length = (codePoint: number): number =>
  codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;

/** UTF-8 bytes of a string. */
export const utf8Bytes = (text: string): number => Buffer.byteLength(text, 'utf8');
