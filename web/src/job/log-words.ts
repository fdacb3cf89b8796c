import type { LogLine } from '../api/types.js';
import { brief, bytes, duration, percent } from '../common/format.js';

const KNOWN = new Set(['time', 'event']);

const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null);

const partOf = (event: LogLine['event']): string =>
  `${String(event['shard'])}${event['part'] === undefined ? '' : ` part ${String(event['part'])}`}`;

/** Words for the events a reader meets often; any other event as its own fields. */
export function logWords({ event }: LogLine): string {
  switch (event['event']) {
    case 'note':
    case 'warning':
    case 'text':
      return String(event['message']);
    case 'attempt':
      return `attempt ${String(event['attempt'])}`;
    case 'stage':
      return `stage ${String(event['name'])}`;
    case 'planned':
      return `planned: ${String(event['parts'])} parts of ${String(event['shards'])} shards, ${bytes(numberOf(event['text_bytes']) ?? 0)} of text, ${String(event['done'])} parts done before`;
    case 'part-started':
      return `started ${partOf(event)}`;
    case 'data-committed':
      return `written ${partOf(event)}`;
    case 'part-done':
      return `done ${partOf(event)}: ${brief(numberOf(event['tokens']) ?? 0)} tokens, ${duration(numberOf(event['seconds']) ?? 0)}`;
    case 'quarantined':
      return `set aside: ${fields(event)}`;
    case 'progress': {
      const done = numberOf(event['text_bytes']);
      const total = numberOf(event['total_text_bytes']);
      const rate = numberOf(event['tokens_per_second']);
      if (done === null || total === null || total === 0) return `progress ${fields(event)}`;
      return `${percent(done / total)} of the text${rate === null ? '' : `, ${brief(rate)} tokens/s`}`;
    }
    default:
      return `${String(event['event'] ?? '')} ${fields(event)}`.trim();
  }
}

const fields = (event: LogLine['event']): string =>
  Object.entries(event)
    .filter(([key]) => !KNOWN.has(key))
    .map(([key, value]) => `${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
