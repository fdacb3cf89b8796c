import type { NamedPart, NamedPlan } from '../parts/named-parts.js';
import type { PartResult, QueuedStage, StageResult } from './jobs.js';

/** What a stage made of parts comes to, from one listing of its output folder. */
export interface StagePlan extends NamedPlan {
  readonly told: PlannedParts;
}

/** What whoever follows a run is told of a plan. */
export interface PlannedParts {
  readonly shards: number;
  readonly parts: number;
  readonly done: number;
  /** UTF-8 bytes. */
  readonly text_bytes: number;
  readonly done_bytes: number;
}

export type PartProgress = (progress: { readonly tokens: number; readonly text_bytes: number }) => void;

/**
 * What workers do, apart from how it is handed out. All of it is idempotent: done twice, at once or one after the
 * other, by whichever processes, it leaves what doing it once leaves.
 */
export interface Performer {
  plan(stage: QueuedStage): Promise<StagePlan>;
  /** After the last part of a stage. */
  finish(stage: QueuedStage, signal: AbortSignal): Promise<void>;
  part(stage: QueuedStage, part: NamedPart, signal: AbortSignal, progress: PartProgress): Promise<PartResult>;
  /** Runs a stage that runs once. */
  single(stage: QueuedStage, signal: AbortSignal): Promise<StageResult>;
  close(): Promise<void>;
}

/** This machine cannot do what others may: the job goes back as it was, and the worker ends. */
export class UnfitWorker extends Error {
  override readonly name = 'UnfitWorker';
}
