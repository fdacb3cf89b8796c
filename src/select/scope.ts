import { usageError } from '../errors.js';

/** The tokens that are ranked against each other. */
export type Scope =
  | { readonly kind: 'sequence' }
  | { readonly kind: 'window'; readonly tokens: number }
  | { readonly kind: 'shard' }
  | { readonly kind: 'dataset' };

/** The paper's batch of about one million tokens. */
export const DEFAULT_WINDOW = 2 ** 20;

/** Bounds the memory of one window: scores, weights and losses of 2²⁸ tokens are already some gigabytes. */
const LARGEST_WINDOW = 2 ** 28;

/**
 * Reads `sequence`, `window`, `window:N`, `shard` or `dataset`.
 * @throws usage `bad-scope`
 */
export function parseScope(text: string): Scope {
  if (text === 'sequence' || text === 'shard' || text === 'dataset') return { kind: text };
  const match = /^window(?::([1-9][0-9]{0,9}))?$/.exec(text);
  if (match !== null) {
    const tokens = match[1] === undefined ? DEFAULT_WINDOW : Number(match[1]);
    if (tokens <= LARGEST_WINDOW) return { kind: 'window', tokens };
    throw usageError(
      'bad-scope',
      `scope window:${tokens} holds more than ${LARGEST_WINDOW} tokens in memory; use shard or dataset, which do not`,
    );
  }
  throw usageError(
    'bad-scope',
    `scope is "${text}"; expected sequence, window:N (N tokens), shard or dataset`,
  );
}

export const formatScope = (scope: Scope): string =>
  scope.kind === 'window' ? `window:${scope.tokens}` : scope.kind;

/** Whether the tokens of a scope lie in several parts: then their cuts must be known before any part is weighed. */
export const isWide = ({ kind }: Scope): boolean => kind === 'shard' || kind === 'dataset';
