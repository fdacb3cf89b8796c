import type { EventSink } from './events.js';

/** Lines told one by one; a disk that lost a folder should not fill a log. */
const MAX_LINES = 20;

/** Says which finished parts are damaged and will be made again. */
export function tellDamaged(lines: readonly string[], sink: EventSink): void {
  for (const line of lines.slice(0, MAX_LINES)) {
    sink({ event: 'warning', message: `damaged part, made again: ${line}` });
  }
  const more = lines.length - MAX_LINES;
  if (more > 0) sink({ event: 'warning', message: `and ${more} more damaged part(s), made again` });
}
