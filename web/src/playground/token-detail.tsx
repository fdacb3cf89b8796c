import type { JSX } from 'preact';
import { rankOf } from '#tokensieve/select/ranking.js';
import type { ScoredText } from '../api/types.js';
import { count, nats } from '../common/format.js';
import type { Ranked } from './keep.js';
import { type Piece, visible } from './pieces.js';

interface Props {
  readonly piece: Piece | null;
  readonly tokens: ScoredText['tokens'];
  readonly ranked: Ranked;
  readonly kept: Uint8Array;
}

/** Both losses of the token that is pointed at or moved to. */
export function TokenDetail({ piece, tokens, ranked, kept }: Props): JSX.Element {
  if (piece === null) {
    return (
      <div class="detail" aria-live="polite">
        <p class="note">Point at a token, or move to the text with Tab and through it with the arrow keys.</p>
      </div>
    );
  }
  const indices = Array.from({ length: piece.end - piece.first }, (_, i) => piece.first + i);
  return (
    <div class="detail" aria-live="polite">
      <p class="detail-token">
        <code>{piece.text === '' ? 'boundary, no text' : visible(piece.text)}</code>
        {indices.length > 1 && <span class="note">{indices.length} tokens share this character</span>}
      </p>
      {indices.map((i) => (
        <TokenFacts key={i} token={i} tokens={tokens} ranked={ranked} kept={kept[i] === 1} />
      ))}
    </div>
  );
}

interface FactsProps extends Pick<Props, 'tokens' | 'ranked'> {
  readonly token: number;
  readonly kept: boolean;
}

function TokenFacts({ token, tokens, ranked, kept }: FactsProps): JSX.Element {
  const may = ranked.eligible[token] === 1;
  const facts: readonly (readonly [name: string, value: string])[] = [
    ['Verdict', !may ? 'has no loss' : kept ? 'kept' : 'dropped'],
    ['Reference', nats(tokens.reference_loss[token] ?? null)],
    ['Current', nats(tokens.current_loss[token] ?? null)],
    ['Excess', nats(tokens.excess[token] ?? null)],
    ['Rank', may ? `${count(rankOf(ranked, token))} of ${count(ranked.eligibleCount)}` : '–'],
  ];
  return (
    <dl class="losses">
      {facts.map(([name, value]) => (
        <div key={name} class={name.toLowerCase()}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
