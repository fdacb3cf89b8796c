import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { ScoreAnswer, ScoredText } from '../api/types.js';
import { count, nats, percent } from '../common/format.js';
import { diagnoseText } from './diagnosis.js';
import { Findings } from './findings.js';
import { keepShare, METHODS, type MethodName, rankTokens } from './keep.js';
import { KeepSlider } from './keep-slider.js';
import { piecesOf, stateOf } from './pieces.js';
import { ScoreHistogram } from './score-histogram.js';
import { TokenDetail } from './token-detail.js';
import { TokenText } from './token-text.js';

interface Props {
  readonly text: string;
  readonly scored: ScoredText;
  readonly timing: ScoreAnswer['timing'];
  readonly methods: readonly MethodName[];
}

/** The scored text with its slider. All of it is computed here, from the losses that came once. */
export function Result({ text, scored, timing, methods }: Props): JSX.Element {
  const { tokens } = scored;
  const [chosen, setMethod] = useState<MethodName>('slm');
  const [ppm, setPpm] = useState(600_000);
  const [at, setAt] = useState<number | null>(null);
  const box = useRef<HTMLElement>(null);
  const method = methods.includes(chosen) ? chosen : (methods[0] ?? 'slm');

  // A phone shows the form alone: what was asked for is brought into view.
  useEffect(() => {
    setAt(null);
    box.current?.scrollIntoView({ block: 'nearest' });
  }, [scored]);

  const ranked = useMemo(() => rankTokens(method, tokens), [method, tokens]);
  const kept = useMemo(() => keepShare(ranked, ppm), [ranked, ppm]);
  const pieces = useMemo(() => piecesOf(text, tokens), [text, tokens]);
  const states = useMemo(
    () => pieces.map((piece) => stateOf(piece, ranked.eligible, kept.flags)),
    [pieces, ranked, kept],
  );
  const share = ranked.eligibleCount === 0 ? 0 : kept.count / ranked.eligibleCount;
  const diagnosis = useMemo(() => diagnoseText(method, tokens, kept), [method, tokens, kept]);

  return (
    <section class="result" aria-labelledby="result-title" ref={box}>
      <h2 id="result-title">What would be kept</h2>
      <div class="result-grid">
        <div class="keeping">
          <KeepSlider ppm={ppm} onChange={setPpm} />
          <output class="counts" for="keep">
            Kept <strong id="kept-count">{count(kept.count)}</strong> of {count(ranked.eligibleCount)}{' '}
            eligible tokens ({percent(share, 1)})
            {Number.isFinite(kept.cutoff) && `, score ${nats(kept.cutoff)} or more`}
          </output>
        </div>
        <div class="reading">
          <Findings findings={diagnosis.findings} />
          <ul class="legend" aria-label="Legend">
            <li>
              <span class="token" data-state="kept">
                kept
              </span>
            </li>
            <li>
              <span class="token" data-state="dropped">
                dropped
              </span>
            </li>
            <li>
              <span class="token" data-state="part">
                kept in part
              </span>
            </li>
            <li>
              <span class="token" data-state="none">
                has no loss
              </span>
            </li>
          </ul>
          <TokenText pieces={pieces} states={states} at={at} onLook={setAt} />
          <p id="text-hint" class="note">
            Arrow keys go from token to token, d and k to the next dropped and kept one.
            {scored.truncated &&
              ` The text is longer than ${count(scored.max_tokens)} tokens: it was scored in rows, and tokens see no further back than their row.`}
          </p>
          <TokenDetail
            piece={at === null ? null : (pieces[at] ?? null)}
            tokens={tokens}
            ranked={ranked}
            kept={kept.flags}
          />
        </div>
        <div class="spread">
          <ScoreHistogram
            ranked={ranked}
            kept={kept}
            title={method === 'slm' ? 'Excess loss' : 'Minus reference loss'}
          />
          {methods.length > 1 && (
            <p class="field">
              <label for="method">Method</label>
              <select
                id="method"
                value={method}
                onChange={(event) => setMethod(event.currentTarget.value as MethodName)}
              >
                {METHODS.filter(({ name }) => methods.includes(name)).map(({ name, title }) => (
                  <option key={name} value={name}>
                    {title}
                  </option>
                ))}
              </select>
            </p>
          )}
          <p class="note">
            {diagnosis.words} Tokens are ranked within this text; a run ranks a million at a time, so its line
            lies elsewhere.
          </p>
          <p class="note">
            Scored in {count(timing.score_ms)} ms
            {timing.queue_ms >= 1 && `, after ${count(timing.queue_ms)} ms in line`}. The slider asks the
            service nothing.
          </p>
        </div>
      </div>
    </section>
  );
}
