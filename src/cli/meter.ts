import type { RunEvent } from '../parts/events.js';

/** How far a run is and how fast it goes, from its events. */
export interface Meter {
  add(event: RunEvent): void;
  read(): Reading;
}

export interface Reading {
  /** Text done, earlier runs' included, and all there is: bytes. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Tokens of this run. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** NaN until some text is done. */
  readonly secondsLeft: number;
}

export function createMeter(now: () => number = () => performance.now()): Meter {
  let started = now();
  let totalBytes = 0;
  let before = 0;
  let textBytes = 0;
  let tokens = 0;
  return {
    add(event) {
      if (event.event === 'planned') {
        started = now();
        totalBytes = event.text_bytes;
        before = event.done_bytes;
        textBytes = 0;
        tokens = 0;
      } else if (event.event === 'progress') {
        textBytes += event.text_bytes;
        tokens += event.tokens;
      }
    },
    read() {
      const seconds = Math.max((now() - started) / 1000, 0.001);
      const doneBytes = Math.min(before + textBytes, totalBytes);
      return {
        doneBytes,
        totalBytes,
        tokens,
        tokensPerSecond: Math.round(tokens / seconds),
        secondsLeft: textBytes > 0 ? ((totalBytes - doneBytes) / textBytes) * seconds : Number.NaN,
      };
    },
  };
}
