import type { StageStatus } from '../../inspect/stage-status.js';
import type { PartsStatus } from '../../parts/run-status.js';
import { count, duration, percent, printable, table } from '../format.js';

const COLUMNS = ['stage', 'state', 'done', 'left', 'speed', 'loss', 'set aside'];

/** A line a stage: what is done of how much, how fast, how long still. */
export function stageStatusText(stages: readonly StageStatus[]): string {
  const done = stages.filter(({ state }) => state === 'done').length;
  return [`${done} of ${stages.length} stages done`, '', table([COLUMNS, ...stages.map(row)])].join('\n');
}

function row({ name, kind, state, parts, training }: StageStatus): string[] {
  const label = printable(name === kind ? name : `${name} (${kind})`);
  const seconds = parts?.seconds_left ?? training?.seconds_left ?? null;
  const rate = parts?.tokens_per_second ?? training?.tokens_per_second ?? null;
  return [
    label,
    state,
    parts !== undefined ? partsDone(parts) : training !== undefined ? stepsDone(training.steps) : '',
    state === 'done' || seconds === null ? '' : duration(seconds),
    rate === null ? '' : `${count(Math.round(rate))} tokens/s`,
    training?.loss == null ? '' : training.loss.toFixed(4),
    parts !== undefined && parts.quarantined_rows > 0 ? `${count(parts.quarantined_rows)} row(s)` : '',
  ];
}

const ofAll = (done: number, total: number | null, what: string): string =>
  total === null
    ? `${count(done)} ${what}`
    : `${count(done)}/${count(total)} ${what} (${percent(done / Math.max(1, total))})`;

const partsDone = ({ parts: { done, total } }: PartsStatus): string => ofAll(done, total, 'parts');
const stepsDone = ({ done, total }: { readonly done: number; readonly total: number | null }): string =>
  ofAll(done, total, 'steps');
