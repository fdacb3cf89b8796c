/**
 * How remote stores are asked again. Passing failures (connections cut, 5xx, truncated bodies, time limits) are
 * repeated after growing waits with full jitter, within a number of tries a call and a budget of the whole store,
 * so that a store that is down is not hammered. Throttling (429, 503) is no failure: every request to the store
 * waits, as long as the server says or longer each time, until it passes or a call has waited for too long.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { TokensieveError } from '../errors.js';

export interface PatienceSettings {
  /** Tries a call, the first included. */
  readonly tries: number;
  /** Longest wait before the second try; it doubles for each one after that (milliseconds). */
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
  /** Longest that a call goes on while the store throttles. */
  readonly throttledMs: number;
  /** Time of one request, to which that of its bytes at `slowestBytes` a second is added. */
  readonly requestMs: number;
  readonly slowestBytes: number;
  /** Repeats that the store may have outstanding; ten requests that succeed give one back. */
  readonly budget: number;
}

export const PATIENCE: PatienceSettings = {
  tries: 6,
  firstWaitMs: 250,
  longestWaitMs: 20_000,
  throttledMs: 15 * 60_000,
  requestMs: 20_000,
  slowestBytes: 64 * 1024,
  budget: 200,
};

/** A failure that may pass; what the last one was is told when patience ends. */
export class PassingFailure extends Error {}

/** The store asks for fewer requests. */
export class Throttled extends Error {
  constructor(
    message: string,
    /** What the server says, in milliseconds. */
    readonly retryAfterMs: number | null,
  ) {
    super(message);
  }
}

export interface Patience {
  /**
   * Calls `attempt` until it succeeds or fails for good.
   * @param path named in errors · @param bytes that the request moves, for its time limit
   * @throws TokensieveError (retry) `store-unavailable`, `store-throttles`; and whatever else `attempt` throws
   */
  call<T>(path: string, bytes: number, attempt: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

/** Patience with one store. */
export function createPatience(settings: PatienceSettings = PATIENCE): Patience {
  let budget = settings.budget;
  /** Nobody asks before this time. */
  let quietUntil = 0;
  let throttledInARow = 0;

  const backOff = (nth: number): number =>
    Math.random() * Math.min(settings.longestWaitMs, settings.firstWaitMs * 2 ** nth);

  const quiet = async (): Promise<void> => {
    for (let left = quietUntil - Date.now(); left > 0; left = quietUntil - Date.now()) {
      // Those who waited together do not ask together.
      await wait(Math.min(left, settings.throttledMs) * (1 + 0.2 * Math.random()));
    }
  };

  const slowDown = ({ retryAfterMs }: Throttled): void => {
    throttledInARow++;
    const own = settings.firstWaitMs * 2 ** Math.min(throttledInARow, 12);
    const ms = Math.min(settings.longestWaitMs, own) * (0.5 + 0.5 * Math.random());
    quietUntil = Math.max(quietUntil, Date.now() + Math.min(Math.max(retryAfterMs ?? 0, ms), 120_000));
  };

  return {
    async call(path, bytes, attempt) {
      const started = Date.now();
      for (let failures = 0; ; ) {
        await quiet();
        const limitMs = Math.ceil(settings.requestMs + (1000 * bytes) / settings.slowestBytes);
        const limit = new AbortController();
        const timer = setTimeout(() => limit.abort(), limitMs);
        let failure: Error;
        try {
          const result = await attempt(limit.signal);
          throttledInARow = 0;
          budget = Math.min(settings.budget, budget + 0.1);
          return result;
        } catch (error) {
          if (limit.signal.aborted)
            failure = new PassingFailure(`no whole answer within ${Math.ceil(limitMs / 1000)} s`);
          else if (error instanceof PassingFailure || error instanceof Throttled) failure = error;
          else throw error;
        } finally {
          clearTimeout(timer);
        }
        if (failure instanceof Throttled) {
          if (Date.now() - started > settings.throttledMs) {
            throw new TokensieveError(
              'retry',
              'store-throttles',
              `${path}: the store has asked to slow down (${failure.message}) for ${Math.round((Date.now() - started) / 1000)} s; use fewer workers, or run the same command again later`,
            );
          }
          slowDown(failure);
          continue;
        }
        failures++;
        budget--;
        if (failures >= settings.tries || budget < 0) {
          const tries = failures >= settings.tries ? `${failures} tries` : 'many failures of this store';
          throw new TokensieveError(
            'retry',
            'store-unavailable',
            `${path}: ${failure.message}, given up after ${tries}; check the network and the store, then run the same command again`,
            { cause: failure },
          );
        }
        await wait(backOff(failures - 1));
      }
    },
  };
}

/** Milliseconds that a Retry-After header asks for (seconds or a date); null where there is none that makes sense. */
export function retryAfter(value: string | null | undefined): number | null {
  if (value === null || value === undefined) return null;
  const seconds = Number(value);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) && ms >= 0 ? ms : null;
}

/** What a failed connection says, without its address. */
export function connectionFailure(error: unknown): PassingFailure {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const name = cause instanceof Error ? cause.name : 'failure';
  return new PassingFailure(`the connection failed (${code || name})`);
}
