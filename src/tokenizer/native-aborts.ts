/**
 * What the native library (tokenizers 0.23.2) answers by a panic that nothing can catch: the process ends. Found by
 * fuzzing; refused before that library, or any other, reads the file.
 */
import { vanishingIn } from './charsmap.js';
import { type Component, type Definition, flatten } from './definition.js';
import { mayMatchNothing } from './empty-match.js';

/** Why the library would end the process over this definition, of the component or token at fault; null where it would not. */
export function whyItAborts({ normalizer, preTokenizer, addedTokens }: Definition): string | null {
  for (const { type, length } of flatten(preTokenizer)) {
    if (type === 'FixedLength' && length !== undefined && !(Number.isInteger(length) && Number(length) >= 1))
      return `its pre-tokenizer FixedLength has the length ${JSON.stringify(length)}, expected a whole number from 1`;
  }
  const steps = flatten(normalizer);
  for (const step of steps) {
    const why = step.type === 'Replace' ? whyEmpty(step) : null;
    if (why !== null) return why;
    if (step.type === 'Prepend' && step['prepend'] === '')
      return 'its normalizer puts an empty string before the text';
  }
  const gone = addedTokens.find(({ content, normalized }) => normalized && vanishes(content, steps));
  return gone === undefined
    ? null
    : `its normalizer may leave nothing of the added token ${JSON.stringify(gone.content.slice(0, 80))}, which is looked for in normalized text; give it "normalized": false`;
}

function whyEmpty({ pattern }: Component): string | null {
  if (typeof pattern !== 'object' || pattern === null) return null;
  if ('String' in pattern && pattern.String === '') return 'its normalizer replaces the empty string';
  if (!('Regex' in pattern) || typeof pattern.Regex !== 'string' || !mayMatchNothing(pattern.Regex))
    return null;
  const shown = JSON.stringify(pattern.Regex.slice(0, 80));
  return `its normalizer replaces what ${shown} matches, which may be nothing; write a pattern that takes a character`;
}

/** White space, marks, control and format characters: what normalizers drop by their nature. */
const DROPPED = /[\p{White_Space}\p{M}\p{C}\p{Z}]/gu;
const DROPPERS = new Set(['Strip', 'StripAccents', 'Nmt', 'BertNormalizer', 'Precompiled']);

/** Whether normalization may leave nothing of a text; steps that only change characters are passed over. */
function vanishes(text: string, steps: readonly Component[]): boolean {
  let left = text;
  for (const step of steps) {
    if (DROPPERS.has(step.type)) left = left.replace(DROPPED, '');
    if (step.type === 'Precompiled') left = vanishingIn(step.precompiled_charsmap)(left);
    if (step.type === 'Replace') left = replaced(left, step);
  }
  return left === '';
}

function replaced(text: string, { pattern, content }: Component): string {
  if (content !== '' || typeof pattern !== 'object' || pattern === null) return text;
  if ('String' in pattern) return text.replaceAll(String(pattern.String), '');
  // Whether a pattern of another syntax takes the whole token is not known here.
  return '';
}
