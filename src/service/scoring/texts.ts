import { Refusal } from './refusal.js';
import { MAX_TEXT_BYTES } from './settings.js';

/** Bytes of the texts. @throws Refusal 413 `text-too-long`, 400 `not-unicode` */
export function checkTexts(texts: readonly string[]): number {
  let bytes = 0;
  for (const [index, text] of texts.entries()) {
    const own = Buffer.byteLength(text);
    bytes += own;
    if (own > MAX_TEXT_BYTES) {
      throw new Refusal(
        413,
        'text-too-long',
        `text ${index} has ${own} bytes of UTF-8, at most ${MAX_TEXT_BYTES} a text; cut it into several texts`,
      );
    }
    if (!text.isWellFormed()) {
      throw new Refusal(
        400,
        'not-unicode',
        `text ${index} holds half a surrogate pair, expected well-formed Unicode`,
      );
    }
  }
  return bytes;
}
