import type { PartsStatus, WorkerStatus } from '../../parts/run-status.js';
import { rulesText } from '../../rules/run-rules.js';
import { bytes, count, duration, percent, printable, table } from '../format.js';

/** Processes shown; the newest notes first. */
const SHOWN = 40;

/** How far a run is: a few lines for each stage of parts, and its processes. */
export function runStatusText(stages: readonly PartsStatus[]): string {
  return stages.map(stageText).join('\n\n');
}

function stageText(stage: PartsStatus): string {
  const { parts, streams, text_bytes, tokens, workers } = stage;
  const about = stage.estimated ? 'about ' : '';
  const rows: string[][] = [
    [`${stage.kind} parts`, partsText(stage)],
    ['folder', printable(stage.folder)],
    ['text', textOf(text_bytes, about)],
    ['tokens', `${about}${count(tokens)}`],
    [
      'speed',
      stage.tokens_per_second === null ? 'nobody at work' : `${count(stage.tokens_per_second)} tokens/s`,
    ],
    ['time left', stage.seconds_left === null ? 'not known' : duration(stage.seconds_left)],
  ];
  if (parts.stale > 0)
    rows.push([
      'made otherwise',
      `${about}${parts.stale} parts, with other settings or inputs, or damaged (tokensieve verify tells which)`,
    ]);
  if (streams > 0) rows.push(['jsonl shards', `${streams}; only reading tells their parts`]);
  if (stage.broken_shards > 0) rows.push(['broken shards', String(stage.broken_shards)]);
  if (stage.quarantined_rows > 0) rows.push(['quarantined rows', `${about}${count(stage.quarantined_rows)}`]);
  for (const path of stage.damaged_notes ?? [])
    rows.push(['damaged', `${printable(path)}: passed over; it may be removed`]);
  for (const line of stage.rules === null ? [] : rulesText(stage.rules))
    rows.push(['rules', printable(line)]);
  const shown = workers.slice(0, SHOWN);
  const more = workers.length - shown.length;
  return [
    table(rows),
    ...(shown.length > 0 ? ['', table([WORKER_COLUMNS, ...shown.map(workerRow)])] : []),
    ...(more > 0 ? [`and ${more} more, longer ago`] : []),
  ].join('\n');
}

function partsText({ parts: { done, running, total } }: PartsStatus): string {
  const of = total === null ? '' : ` of ${total} (${percent(done / Math.max(1, total))})`;
  return `${done} done${of}, ${running} in work`;
}

const textOf = ({ done, total }: PartsStatus['text_bytes'], about: string): string =>
  total === null ? `${about}${bytes(done)}` : `${about}${bytes(done)} of ${bytes(total)}`;

const WORKER_COLUMNS = ['process', 'executor', 'state', 'parts', 'tokens', 'tokens/s', 'heard', 'at'];

function workerRow(worker: WorkerStatus): string[] {
  const { share, in_work, error } = worker;
  const at = in_work
    .map(({ shard, part, seconds }) => `${shard} ${part} for ${duration(seconds)}`)
    .join('; ');
  return [
    printable(worker.worker),
    share === null ? worker.executor : `${worker.executor} ${share.index}/${share.count}`,
    worker.state,
    String(worker.parts),
    count(worker.tokens),
    worker.tokens_per_second === null ? '' : count(worker.tokens_per_second),
    `${duration(worker.seconds_ago)} ago`,
    printable(error ?? at),
  ];
}
