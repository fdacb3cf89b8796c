import { createRequire } from 'node:module';
import type { TrainEvent, TrainSink } from '../train/events.js';
import { count, duration, printable } from './format.js';
import { tell } from './output.js';
import { LOG_EVERY, type LogKind } from './progress.js';

/**
 * Where a training run's events go: a bar on a terminal, JSON lines otherwise. Always stderr.
 * @param every seconds between two steps that a log tells of
 */
export function openTrainProgress(
  kind: LogKind,
  every = LOG_EVERY,
): { readonly sink: TrainSink; stop(): void } {
  const shown = kind === 'auto' ? (process.stderr.isTTY ? 'bar' : 'json') : kind;
  if (shown === 'none') return { sink: () => undefined, stop: () => undefined };
  return shown === 'json' ? jsonLines(every) : bar();
}

/** Every event as it comes, but steps at most every few seconds. */
function jsonLines(every: number): { readonly sink: TrainSink; stop(): void } {
  let told = Number.NEGATIVE_INFINITY;
  return {
    sink: (event) => {
      const now = performance.now();
      if (event.event === 'step' && now - told < every * 1000 && event.held_out === undefined) return;
      if (event.event === 'step') told = now;
      tell(JSON.stringify({ time: new Date().toISOString(), ...event }));
    },
    stop: () => undefined,
  };
}

function bar(): { readonly sink: TrainSink; stop(): void } {
  // Loaded where there is a bar: a log needs none.
  const cliProgress = createRequire(import.meta.url)('cli-progress') as typeof import('cli-progress');
  const line = new cliProgress.SingleBar(
    {
      format: '{bar} {percentage}% | step {value} of {total} | loss {loss} | {rate} tokens/s | {left} left',
      hideCursor: true,
      clearOnComplete: true,
      stream: process.stderr,
      barsize: 24,
    },
    cliProgress.Presets.shades_classic,
  );
  let steps = 0;
  const say = (message: string): void => {
    const active = line.isActive;
    const value = line.getProgress();
    line.stop();
    tell(printable(message));
    if (active) line.start(steps, Math.round(value * steps), { loss: '', rate: '', left: '' });
  };
  const sink = (event: TrainEvent): void => {
    switch (event.event) {
      case 'train-planned':
        steps = event.steps;
        say(
          `${count(event.parameters)} parameters, ${count(event.steps)} steps of ${count(event.tokens_per_step)} tokens, ${count(event.done)} done before`,
        );
        line.start(event.steps, event.done, { loss: '', rate: '', left: '' });
        break;
      case 'step':
        line.update(event.step, {
          loss: event.loss_selected?.toFixed(4) ?? 'none',
          rate: count(Math.round(event.tokens_per_second)),
          left: duration((steps - event.step) * event.seconds),
        });
        break;
      case 'note':
      case 'warning':
        say(event.event === 'warning' ? `warning: ${event.message}` : event.message);
        break;
    }
  };
  return { sink, stop: () => line.stop() };
}
