/** Tokens that texts will have, before they are tokenized: the share of tokens in bytes so far. */
export interface Estimate {
  tokens(bytes: number, texts: number): number;
  /** Texts of so many bytes had so many tokens. */
  note(bytes: number, tokens: number): void;
}

/** Bytes and tokens to begin with; and the bytes at which what was seen is halved, so that it follows what comes. */
const FIRST = { bytes: 10_000, tokens: 3_000 };
const MEMORY_BYTES = 10_000_000;

/** @param most no estimate is above it */
export function createEstimate(most: number): Estimate {
  let { bytes: seenBytes, tokens: seenTokens } = FIRST;
  return {
    tokens: (bytes, texts) => Math.min(most, Math.ceil((bytes * seenTokens) / seenBytes) + 2 * texts),
    note(bytes, tokens) {
      if (seenBytes > MEMORY_BYTES) {
        seenBytes /= 2;
        seenTokens /= 2;
      }
      seenBytes += bytes;
      seenTokens += tokens;
    },
  };
}
