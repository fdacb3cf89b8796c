import { useCallback, useEffect, useRef, useState } from 'preact/hooks';

export interface Polled<T> {
  readonly data: T | null;
  readonly error: Error | null;
  /** Asks now. */
  readonly refresh: () => void;
}

/**
 * What `ask` answers, asked again `interval` milliseconds after each answer (null: once) while the tab is seen.
 * An error keeps the last answer. `key` names what is asked: another key forgets the answer.
 */
export function usePolled<T>(
  key: string,
  ask: (signal: AbortSignal) => Promise<T>,
  interval: (data: T | null) => number | null,
): Polled<T> {
  const [answer, setAnswer] = useState<{ key: string; data: T | null; error: Error | null }>({
    key,
    data: null,
    error: null,
  });
  const latest = useRef({ ask, interval });
  latest.current = { ask, interval };
  const wake = useRef<() => void>(() => undefined);

  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let asking = false;
    let again = false;
    let last: T | null = null;

    const run = async (): Promise<void> => {
      if (asking) {
        again = true;
        return;
      }
      clearTimeout(timer);
      asking = true;
      try {
        last = await latest.current.ask(stop.signal);
        if (stop.signal.aborted) return;
        setAnswer({ key, data: last, error: null });
      } catch (error) {
        if (stop.signal.aborted) return;
        setAnswer({ key, data: last, error: error instanceof Error ? error : new Error(String(error)) });
      } finally {
        asking = false;
      }
      const wait = again ? 0 : latest.current.interval(last);
      again = false;
      if (wait !== null) timer = setTimeout(tick, wait);
    };
    // A hidden tab asks nothing; it catches up when it is seen.
    const tick = (): void => {
      if (!document.hidden) void run();
    };
    const seen = (): void => {
      if (!document.hidden) void run();
    };
    wake.current = () => void run();
    document.addEventListener('visibilitychange', seen);
    void run();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [key]);

  const refresh = useCallback(() => wake.current(), []);
  const current = answer.key === key ? answer : { data: null, error: null };
  return { data: current.data, error: current.error, refresh };
}
