import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

const PPM_A_PERCENT = 10_000;

interface Props {
  /** Share to keep in whole parts per million. */
  readonly ppm: number;
  readonly onChange: (ppm: number) => void;
}

/** The share by slider in whole percent, or typed with up to four decimals: parts per million. */
export function KeepSlider({ ppm, onChange }: Props): JSX.Element {
  const [typed, setTyped] = useState<string | null>(null);
  const percent = ppm / PPM_A_PERCENT;
  const type = (text: string): void => {
    setTyped(text);
    const value = Math.round(Number(text) * PPM_A_PERCENT);
    if (text.trim() !== '' && value >= 1 && value <= 100 * PPM_A_PERCENT) onChange(value);
  };
  return (
    <div class="keep">
      <label for="keep">Keep</label>
      <input
        id="keep"
        type="range"
        min={1}
        max={100}
        step={1}
        value={percent}
        aria-valuetext={`${percent} percent`}
        onInput={(event) => {
          setTyped(null);
          onChange(event.currentTarget.valueAsNumber * PPM_A_PERCENT);
        }}
      />
      <span class="percent">
        <input
          type="text"
          inputMode="decimal"
          aria-label="Keep, in percent"
          value={typed ?? String(percent)}
          onInput={(event) => type(event.currentTarget.value)}
          onBlur={() => setTyped(null)}
        />
        %
      </span>
    </div>
  );
}
