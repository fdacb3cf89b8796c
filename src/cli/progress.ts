import cliProgress from 'cli-progress';
import type { EventSink, RunEvent } from '../run/events.js';
import { bytes, count, duration } from './format.js';

export type LogKind = 'auto' | 'bar' | 'json' | 'none';

export interface Progress {
  readonly sink: EventSink;
  /** Clears the bar, so that results can be printed. */
  stop(): void;
}

/** Where a run's events go: a bar on a terminal, one JSON object a line otherwise. Always stderr. */
export function openProgress(kind: LogKind): Progress {
  const shown = kind === 'auto' ? (process.stderr.isTTY ? 'bar' : 'json') : kind;
  if (shown === 'none') return { sink: () => undefined, stop: () => undefined };
  return shown === 'json' ? jsonLines() : bar();
}

function jsonLines(): Progress {
  return {
    sink: (event) => {
      process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
    },
    stop: () => undefined,
  };
}

function bar(): Progress {
  const line = new cliProgress.SingleBar(
    {
      format: '{bar} {percentage}% | {done} of {all} | {tokens} tokens, {rate} tokens/s | {left} left',
      hideCursor: true,
      clearOnComplete: true,
      stream: process.stderr,
      barsize: 24,
    },
    cliProgress.Presets.shades_classic,
  );
  let started = 0;
  let total = 0;
  let before = 0;
  let textBytes = 0;
  let tokens = 0;
  const update = (): void => {
    const seconds = (Date.now() - started) / 1000;
    const left = textBytes > 0 ? ((total - before - textBytes) / textBytes) * seconds : Number.NaN;
    line.update(Math.min(before + textBytes, total), {
      done: bytes(before + textBytes),
      all: bytes(total),
      tokens: count(tokens),
      rate: count(Math.round(tokens / Math.max(seconds, 0.001))),
      left: duration(left),
    });
  };
  const say = (message: string): void => {
    line.stop();
    process.stderr.write(`${message}\n`);
    if (total > 0) {
      line.start(total, 0);
      update();
    }
  };
  const sink = (event: RunEvent): void => {
    if (event.event === 'planned') {
      started = Date.now();
      total = event.textBytes;
      before = event.doneBytes;
      process.stderr.write(
        `${event.shards} shards, ${event.parts} parts known, ${event.done} done before, ${bytes(total)} of text\n`,
      );
      line.start(total, before, { done: bytes(before), all: bytes(total), tokens: '0', rate: '0', left: '?' });
    } else if (event.event === 'progress') {
      textBytes += event.textBytes;
      tokens += event.tokens;
      update();
    } else if (event.event === 'quarantined') {
      say(`quarantined: ${event.shard} row ${event.row}: ${event.reason}: ${event.detail}`);
    } else if (event.event === 'part-failed') {
      say(`failed: ${event.shard} part ${event.part}: ${event.message}`);
    } else if (event.event === 'note' || event.event === 'warning') {
      say(event.event === 'warning' ? `warning: ${event.message}` : event.message);
    }
  };
  return { sink, stop: () => line.stop() };
}
