import type { Quarantined } from '../corpus/document.js';

/** What happens in a run, for progress bars and logs. Everything is plain JSON. */
export type RunEvent =
  | {
      readonly event: 'planned';
      readonly shards: number;
      readonly parts: number;
      readonly done: number;
      readonly text_bytes: number;
      readonly done_bytes: number;
    }
  | { readonly event: 'part-started'; readonly shard: string; readonly part: number }
  /** Some sequences are scored and written; the text they came from, for progress. */
  | { readonly event: 'progress'; readonly tokens: number; readonly text_bytes: number }
  /** The data files stand under their final names, the manifest does not yet. */
  | { readonly event: 'data-committed'; readonly shard: string; readonly part: number }
  | {
      readonly event: 'part-done';
      readonly shard: string;
      readonly part: number;
      readonly tokens: number;
      readonly documents: number;
      readonly seconds: number;
    }
  | ({ readonly event: 'quarantined'; readonly shard: string } & Omit<Quarantined, 'kind'>)
  | { readonly event: 'note'; readonly message: string }
  | { readonly event: 'warning'; readonly message: string };

export type EventSink = (event: RunEvent) => void;
