import { createRequire } from 'node:module';
import type { EventSink, RunEvent } from '../parts/events.js';
import type { Share } from '../parts/share.js';
import { bytes, count, duration, printable } from './format.js';
import { createMeter } from './meter.js';
import { tell } from './output.js';

export type LogKind = 'auto' | 'bar' | 'json' | 'none';

export interface Progress {
  readonly sink: EventSink;
  /** Clears the bar, so that results can be printed. */
  stop(): void;
}

/** Quarantined rows shown on a terminal; the rest is in the reports and in the sums at the end. */
const QUARANTINE_SHOWN = 20;
/** Time between two progress lines of a log, in seconds. */
export const LOG_EVERY = 5;

export const logEveryOption = {
  'log-every': {
    type: 'number' as const,
    requiresArg: true,
    default: LOG_EVERY,
    description: 'Seconds between two progress lines of --log json',
    group: 'Output:',
  },
};

/**
 * Where a run's events go: a bar on a terminal, one JSON object a line otherwise. Always stderr.
 * @param every seconds between two progress lines of a log
 * @param share of an array, whose processes may write into one log: each line has the index
 */
export function openProgress(kind: LogKind, every = LOG_EVERY, share?: Share): Progress {
  const shown = kind === 'auto' ? (process.stderr.isTTY ? 'bar' : 'json') : kind;
  if (shown === 'none') return { sink: () => undefined, stop: () => undefined };
  return shown === 'json' ? jsonLines(every, share) : bar();
}

/** Every event as it comes, but progress at most every few seconds, with the sums so far. */
function jsonLines(every: number, share: Share | undefined): Progress {
  const meter = createMeter();
  const whose = share === undefined ? {} : { array_index: share.index };
  let told = Number.NEGATIVE_INFINITY;
  const write = (line: object): void => {
    tell(JSON.stringify({ time: new Date().toISOString(), ...whose, ...line }));
  };
  return {
    sink: (event) => {
      meter.add(event);
      if (event.event !== 'progress') write(event);
      else if (performance.now() - told >= every * 1000) {
        told = performance.now();
        const { doneBytes, totalBytes, tokens, tokensPerSecond, secondsLeft } = meter.read();
        write({
          event: 'progress',
          text_bytes: doneBytes,
          total_text_bytes: totalBytes,
          tokens,
          tokens_per_second: tokensPerSecond,
          seconds_left: Number.isFinite(secondsLeft) ? Math.round(secondsLeft) : null,
        });
      }
    },
    stop: () => undefined,
  };
}

function bar(): Progress {
  const meter = createMeter();
  // Loaded where there is a bar: a log needs none.
  const cliProgress = createRequire(import.meta.url)('cli-progress') as typeof import('cli-progress');
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
  let quarantined = 0;
  const shownNow = (): [number, Record<string, string>] => {
    const { doneBytes, totalBytes, tokens, tokensPerSecond, secondsLeft } = meter.read();
    const left = duration(secondsLeft);
    return [
      doneBytes,
      {
        done: bytes(doneBytes),
        all: bytes(totalBytes),
        tokens: count(tokens),
        rate: count(tokensPerSecond),
        left,
      },
    ];
  };
  const say = (message: string): void => {
    const active = line.isActive;
    line.stop();
    tell(printable(message));
    if (active) line.start(meter.read().totalBytes, ...shownNow());
  };
  const sink = (event: RunEvent): void => {
    meter.add(event);
    switch (event.event) {
      case 'planned':
        say(
          `${event.shards} shards, ${event.parts} parts, ${event.done} done before, ${bytes(event.text_bytes)} of text`,
        );
        line.start(event.text_bytes, ...shownNow());
        break;
      case 'progress':
        line.update(...shownNow());
        break;
      case 'quarantined':
        if (++quarantined <= QUARANTINE_SHOWN) {
          say(`quarantined: ${event.shard} row ${event.row}: ${event.reason}: ${event.detail}`);
        }
        break;
      case 'note':
        say(event.message);
        break;
      case 'warning':
        say(`warning: ${event.message}`);
        break;
    }
  };
  return { sink, stop: () => line.stop() };
}
