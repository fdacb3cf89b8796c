import { usageError } from '../errors.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { ModelInfo } from './prepared-model.js';

/**
 * A model must give a logit for every id of its tokenizer. More logits than ids are fine: embeddings are often
 * padded to a round number.
 * @throws TokensieveError `vocabulary-mismatch` (usage)
 */
export function checkVocabulary(
  { folder, vocabularySize }: Pick<ModelInfo, 'folder' | 'vocabularySize'>,
  tokenizer: Pick<Tokenizer, 'vocabularySize'>,
): void {
  if (tokenizer.vocabularySize <= vocabularySize) return;
  throw usageError(
    'vocabulary-mismatch',
    `${folder}: the model gives ${vocabularySize} logits, its tokenizer has ids up to ${tokenizer.vocabularySize - 1}; they were not made for each other`,
  );
}
