/** The hash of a tokenizer by the rules of version 1, which parts of older runs carry. */
import { hashPrepared } from '../tokenizer/canonical.js';
import { type ControlTokens, prepare } from '../tokenizer/control-tokens.js';
import { readDefinition } from '../tokenizer/definition.js';
import type { RunFacts } from './facts.js';

/** Names that were control tokens, whether a file took them for special or not. */
const CONTROL_NAMES = new Set(
  '<s> </s> <unk> <pad> <mask> <bos> <eos> <sep> <cls> <|endoftext|> <|startoftext|> <|begin_of_text|> <|end_of_text|> <|padding|> <|pad|> <|unk|> <|bos|> <|eos|> <|im_start|> <|im_end|> <|eot_id|> [BOS] [EOS] [PAD] [UNK] [CLS] [SEP] [MASK]'.split(
    ' ',
  ),
);

/**
 * Of tokenizer.json alone, whatever lies beside it.
 * @throws TokensieveError where the file is no sound tokenizer
 */
export async function hashBefore(
  file: string,
  boundaries: RunFacts['inserted'],
  controlTokens: ControlTokens,
): Promise<string> {
  const definition = await readDefinition(file);
  // Hidden tokens are in no hash, so that it does not matter that their flags are others.
  const addedTokens =
    controlTokens === 'special'
      ? definition.addedTokens
      : definition.addedTokens.map((token) =>
          CONTROL_NAMES.has(token.content) ? { ...token, special: true } : token,
        );
  return hashPrepared(prepare({ ...definition, addedTokens }, boundaries, controlTokens), controlTokens);
}
