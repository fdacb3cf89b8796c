import type { JSX } from 'preact';
import { percent } from './format.js';

export function ProgressBar({
  label,
  share,
}: {
  readonly label: string;
  readonly share: number | null;
}): JSX.Element {
  return share === null ? (
    <progress class="bar" aria-label={label} />
  ) : (
    <progress class="bar" aria-label={label} max={1} value={share}>
      {percent(share)}
    </progress>
  );
}
