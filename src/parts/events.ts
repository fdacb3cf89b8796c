import type { Quarantined, QuarantineReason } from '../corpus/document.js';

/** Why an item of an evaluation task is set aside, beside what can be wrong with a line. */
export type ItemReason = 'bad-item' | 'oversized-item';

/** As the diagnosis gives it (select/diagnosis/finding.ts): what was found, with its figures, and what to do about it. */
export interface Finding {
  readonly code: string;
  readonly message: string;
  readonly advice: string;
  readonly figures: Readonly<Record<string, number | string | readonly string[]>>;
}

/** What happens in a run, for progress bars and logs. Everything is plain JSON. */
export type RunEvent =
  /** A stage begins; what follows is its. */
  | { readonly event: 'stage'; readonly name: string; readonly kind: string }
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
  /** The part failed or was stopped; what it had staged is gone. */
  | { readonly event: 'part-given-up'; readonly shard: string; readonly part: number }
  | ({
      readonly event: 'quarantined';
      /** Or the task, for items of an evaluation. */
      readonly shard: string;
      readonly reason: QuarantineReason | ItemReason;
    } & Omit<Quarantined, 'kind' | 'reason'>)
  | { readonly event: 'note'; readonly message: string }
  | {
      readonly event: 'warning';
      readonly message: string;
      /** What the message is about, where it is a selection's diagnosis. */
      readonly finding?: Finding;
    };

export type EventSink = (event: RunEvent) => void;
