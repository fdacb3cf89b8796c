/** What the API answers, as its document (/openapi.json) says. Times are ISO 8601 in UTC. */

export type JobState = 'queued' | 'running' | 'cancelling' | 'done' | 'quarantined' | 'failed' | 'cancelled';

export interface Progress {
  readonly stage: string | null;
  readonly stages: readonly string[];
  readonly parts_done: number;
  readonly parts: number;
  readonly text_bytes_done: number;
  readonly text_bytes: number;
  readonly tokens: number;
  readonly tokens_per_second: number | null;
  readonly seconds_left: number | null;
}

export interface JobSummary {
  readonly id: string;
  readonly name: string;
  readonly state: JobState;
  readonly submitted: string;
  readonly started: string | null;
  readonly ended: string | null;
  readonly progress: Progress;
  readonly error: string | null;
  readonly position: number | null;
}

export interface Totals {
  readonly documents: number;
  readonly tokens: number;
  readonly eligible: number;
  readonly kept: number;
  readonly quarantined_rows: number;
}

export interface JobDetail extends JobSummary {
  readonly pipeline: string;
  readonly plan: Readonly<Record<string, unknown>> | null;
  readonly attempts: number;
  readonly exit_code: number | null;
  readonly totals: Totals | null;
  readonly has_report: boolean;
  readonly links: Readonly<Record<string, string>>;
}

export interface JobList {
  readonly jobs: readonly JobSummary[];
  readonly next: string | null;
}

export interface Planned {
  readonly plan: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export interface LogLine {
  readonly line: number;
  readonly event: Readonly<Record<string, unknown>>;
}

export interface JobPart {
  readonly shard: string;
  readonly part: number;
  readonly kind: 'scored' | 'weighted' | 'packed';
  readonly state: 'done' | 'running' | 'waiting';
  readonly tokens: number | null;
  readonly documents: number | null;
  readonly kept: number | null;
  readonly quarantined_rows: number | null;
  readonly seconds: number | null;
}

export interface Quarantine {
  readonly total: number;
  readonly reasons: Readonly<Record<string, number>>;
  readonly rows: readonly {
    readonly shard: string;
    readonly part: number | null;
    readonly row: number | null;
    readonly reason: string;
    readonly detail: string | null;
  }[];
}

export interface Artifact {
  readonly path: string;
  readonly bytes: number;
  readonly type: string;
}

export interface Ticket {
  readonly url: string;
  readonly expires: string;
}

export interface ModelFacts {
  readonly name: string;
  readonly architecture: string;
  readonly parameters: number;
  readonly hash: string;
}

export interface ModelPair {
  readonly name: string;
  readonly reference: ModelFacts | null;
  readonly current: ModelFacts | null;
  readonly max_tokens: number;
}

/** Losses in nats; null where a token has none. All arrays are [tokens]; start and end are UTF-16 offsets. */
export interface ScoredText {
  readonly tokens: {
    readonly id: readonly number[];
    readonly start: readonly number[];
    readonly end: readonly number[];
    readonly reference_loss: readonly (number | null)[];
    readonly current_loss: readonly (number | null)[];
    readonly excess: readonly (number | null)[];
    readonly weight: readonly number[] | null;
  };
  readonly eligible: number;
  readonly truncated: boolean;
  readonly max_tokens: number;
}

export interface ScoreAnswer {
  readonly model: string;
  readonly results: readonly ScoredText[];
  readonly timing: { readonly queue_ms: number; readonly score_ms: number };
}
