/** HTML made of templates: whatever is put into one is escaped, unless it is HTML itself. */

/** Markup, as opposed to text that happens to hold angle brackets. */
export class Html {
  constructor(readonly text: string) {}
}

/** The text with U+FFFD for what neither HTML nor XML can hold: control characters, halves of surrogate pairs. */
export const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  text.replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\p{Surrogate}]/gu, '\ufffd');

/** Text as it may stand in an element or a quoted attribute. */
export const escapeHtml = (text: string): string =>
  printable(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

type Content = string | number | Html | readonly Content[];

const render = (content: Content): string => {
  if (content instanceof Html) return content.text;
  if (Array.isArray(content)) return content.map(render).join('');
  return escapeHtml(String(content));
};

export const html = (pieces: TemplateStringsArray, ...contents: readonly Content[]): Html =>
  new Html(pieces.map((piece, index) => piece + render(contents[index] ?? '')).join(''));
