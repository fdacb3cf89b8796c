/** One event of a text/event-stream. */
export interface ServerEvent {
  readonly type: string;
  readonly data: string;
  /** The last id seen so far, '' when there was none: what a reconnect sends as Last-Event-ID. */
  readonly id: string;
}

/** An event larger than this is no event of ours; it also bounds what a broken stream can make us hold. */
const LARGEST_EVENT = 8 * 2 ** 20;

/**
 * The HTML standard's parser of event streams, fed with pieces of text cut anywhere. EventSource itself cannot
 * send an Authorization header, so the page reads the stream by fetch.
 * @returns a function that takes the next piece and gives the events that it completes.
 * @throws Error when one event is larger than 8 MiB.
 */
export function eventStreamParser(): (piece: string) => ServerEvent[] {
  let rest = '';
  let first = true;
  let type = '';
  let data: string[] = [];
  let held = 0;
  let id = '';

  const takeLine = (line: string, events: ServerEvent[]): void => {
    if (line === '') {
      if (data.length > 0) events.push({ type: type === '' ? 'message' : type, data: data.join('\n'), id });
      type = '';
      data = [];
      held = 0;
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'event') type = value;
    else if (field === 'data') {
      data.push(value);
      held += value.length;
    } else if (field === 'id' && !value.includes('\0')) id = value;
  };

  return (piece) => {
    const events: ServerEvent[] = [];
    let text = rest + piece;
    if (first && text !== '') {
      if (text.startsWith('\ufeff')) text = text.slice(1);
      first = false;
    }
    let from = 0;
    for (const end of text.matchAll(/\r\n|\r|\n/g)) {
      const after = end.index + end[0].length;
      // A CR at the very end may be half of a CRLF: wait for what follows.
      if (end[0] === '\r' && after === text.length) break;
      takeLine(text.slice(from, end.index), events);
      from = after;
    }
    rest = text.slice(from);
    if (rest.length + held > LARGEST_EVENT) throw new Error('an event of more than 8 MiB');
    return events;
  };
}
