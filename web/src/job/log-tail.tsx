import type { JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { LogLine } from '../api/types.js';
import { timeOfDay } from '../common/format.js';
import { Scrolled } from '../common/scrolled.js';
import { LINES_KEPT } from './job-state.js';
import { logWords } from './log-words.js';

/** The log's last lines. It stays at its end as lines come, unless it was scrolled up. */
export function LogTail({ lines }: { readonly lines: readonly LogLine[] }): JSX.Element {
  const box = useRef<HTMLElement>(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (box.current !== null && atEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  const noteScroll = (): void => {
    const { current } = box;
    if (current !== null)
      atEnd.current = current.scrollHeight - current.scrollTop - current.clientHeight < 24;
  };
  return (
    <section aria-labelledby="log-title">
      <h2 id="log-title">Log</h2>
      <Scrolled label="Lines of the log" class="log" box={box} onScroll={noteScroll}>
        {lines.length === 0 && <p class="note">Nothing yet.</p>}
        {lines.map((line) => (
          <p key={line.line} class={`log-line log-${String(line.event['event'])}`}>
            {typeof line.event['time'] === 'string' && <time>{timeOfDay(line.event['time'])}</time>}{' '}
            {logWords(line)}
          </p>
        ))}
      </Scrolled>
      {lines.length >= LINES_KEPT && <p class="note">The last {LINES_KEPT} lines; all are in log.jsonl.</p>}
    </section>
  );
}
