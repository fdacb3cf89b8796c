import type { JSX } from 'preact';
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

/** 1 for the token that is kept first: how many come before it, ties to the earlier one. */
function rankOf({ scores, eligible }: Ranked, token: number): number {
  const score = scores[token] ?? Number.NaN;
  let before = 0;
  for (let i = 0; i < scores.length; i++) {
    if (eligible[i] !== 1) continue;
    const other = scores[i] ?? Number.NaN;
    if (other > score || (other === score && i < token)) before++;
  }
  return before + 1;
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
        <code>{piece.text === '' ? '(no text: a boundary)' : visible(piece.text)}</code>
        {indices.length > 1 && <span class="note"> {indices.length} tokens share this</span>}
      </p>
      {indices.map((i) => {
        const may = ranked.eligible[i] === 1;
        return (
          <dl key={i} class="losses">
            <div>
              <dt>Reference</dt>
              <dd>{nats(tokens.reference_loss[i] ?? null)}</dd>
            </div>
            <div>
              <dt>Current</dt>
              <dd>{nats(tokens.current_loss[i] ?? null)}</dd>
            </div>
            <div>
              <dt>Excess</dt>
              <dd>{nats(tokens.excess[i] ?? null)}</dd>
            </div>
            <div>
              <dt>{may ? 'Rank' : 'Not ranked'}</dt>
              <dd>
                {may ? `${count(rankOf(ranked, i))} of ${count(ranked.eligibleCount)}` : 'no loss here'}
              </dd>
            </div>
            <div>
              <dt>Verdict</dt>
              <dd class="verdict">{!may ? 'not eligible' : kept[i] === 1 ? 'kept' : 'dropped'}</dd>
            </div>
          </dl>
        );
      })}
    </div>
  );
}
