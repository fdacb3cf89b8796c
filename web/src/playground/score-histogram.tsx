import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { nats } from '../common/format.js';
import { binScores, keptInBins, ticks } from './bins.js';
import type { Kept, Ranked } from './keep.js';

const WIDTH = 320;
const HEIGHT = 120;
const BASE = 96;
const BINS = 32;

/** How the scores are spread, kept ones solid, dropped ones hollow, and where the line between them lies. */
export function ScoreHistogram({
  ranked,
  kept,
  title,
}: {
  readonly ranked: Ranked;
  readonly kept: Kept;
  readonly title: string;
}): JSX.Element | null {
  const bins = useMemo(() => binScores(ranked.scores, ranked.eligible, BINS), [ranked]);
  if (bins === null) return null;
  const inBin = keptInBins(bins, kept.flags);
  const most = Math.max(1, ...bins.counts);
  const x = (score: number): number =>
    Math.min(WIDTH, Math.max(0, ((score - bins.low) / (bins.high - bins.low)) * WIDTH));
  const step = WIDTH / BINS;
  const high = (tokens: number): number => (tokens / most) * (BASE - 14);
  const cut = Number.isFinite(kept.cutoff) ? x(kept.cutoff) : WIDTH;
  return (
    <figure class="histogram">
      <figcaption class="note">
        {title}, nats. Solid: kept, hollow: dropped; the line is the lowest kept.
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`${title} of the tokens, from ${nats(bins.low)} to ${nats(bins.high)} nats. The lowest kept is ${nats(kept.cutoff)}.`}
      >
        {Array.from(bins.counts, (tokens, bin) => {
          const solid = inBin[bin] ?? 0;
          const left = bin * step + 0.75;
          const wide = step - 1.5;
          return (
            <g key={bin}>
              {tokens > solid && (
                <rect
                  class="hollow"
                  x={left}
                  width={wide}
                  y={BASE - high(tokens)}
                  height={high(tokens - solid)}
                />
              )}
              {solid > 0 && (
                <rect class="solid" x={left} width={wide} y={BASE - high(solid)} height={high(solid)} />
              )}
            </g>
          );
        })}
        <line class="axis" x1={0} x2={WIDTH} y1={BASE} y2={BASE} />
        {ticks(bins.low, bins.high, 6).map((tick) => (
          <text key={tick} x={Math.min(WIDTH - 12, Math.max(10, x(tick)))} y={BASE + 16}>
            {String(Number(tick.toFixed(6))).replace('-', '−')}
          </text>
        ))}
        <line class="cut" x1={cut} x2={cut} y1={2} y2={BASE + 4} />
      </svg>
    </figure>
  );
}
