/**
 * What a stage says of itself to be made of parts. The engine does the rest, for every stage and every executor: it
 * claims the folder, finds what is left to do, deals it out, makes and commits part after part, and tells of it.
 */
import type { PartPlace } from '../dataset/part-files.js';
import type { TokensieveError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import type { StagedOutput, StagedPart } from './commit-part.js';
import type { EventSink } from './events.js';
import type { AnyManifest, ExpectedPart, Manifests, StalePart } from './manifests.js';
import type { Share } from './share.js';
import type { NotedKind } from './worker-notes.js';

export interface PartsOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
  /** Redo parts that were made with other settings, instead of refusing. */
  readonly replace: boolean;
  /** Do one share of the parts alone: other processes, started with the other indices, do the rest. */
  readonly share?: Share | undefined;
  /** Parts in work at once, of stages whose settings do not say; 1 unless given. */
  readonly workers?: number | undefined;
}

/** What opening a job needs. */
export interface OpenOptions extends Pick<PartsOptions, 'storage' | 'sink' | 'signal' | 'share' | 'workers'> {
  /** Other processes, which none of them knows, make parts of the same job: those of a queue. */
  readonly queued?: boolean | undefined;
}

/** A shard that cannot be planned. */
export interface BrokenShard {
  readonly shard: string;
  readonly detail: string;
}

/** Everything there is to do, done or not, in order: every process that plans the same job gets the same. */
export interface JobPlan<Task> {
  readonly tasks: readonly Task[];
  readonly shards: number;
  readonly broken: readonly BrokenShard[];
}

/** The place of a task's part; null for `part` where the task is a shard whose parts only reading tells. */
export interface TaskPlace {
  readonly shard: string;
  readonly part: number | null;
}

/** What a manifest counts, for whoever follows a run. */
export interface PartFigures {
  readonly tokens: number;
  readonly documents: number;
  /** UTF-8 bytes of the text that the part stands for. */
  readonly textBytes: number;
}

/** Takes what a part stages: all of it is thrown away when the part is given up. */
export type Staging = <T extends Pick<StagedOutput, 'abort'>>(output: T) => T;

/** A part that is about to be made. */
export interface Making<M> {
  readonly place: PartPlace;
  readonly expected: ExpectedPart;
  /** Makes it, up to its commit. */
  make(staging: Staging): Promise<StagedPart<M>>;
  /** Where it is found finished, instead: throws where what it was made of is not what it was. */
  check?(finished: M): Promise<void>;
}

/** What one lane has for itself: sessions of models, a reader. */
export interface Lane {
  close(): Promise<void>;
}

export interface MakingContext {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/**
 * @typeParam Task a unit of work: a part, or a shard whose parts only reading tells
 * @typeParam L what each lane opens
 * @typeParam M manifest of a part
 * @typeParam Kept what is kept of a manifest until the end
 */
export interface PartsJob<Task, L extends Lane, M extends AnyManifest, Kept> {
  readonly kind: NotedKind;
  /** The command's output folder, where its writers are announced. */
  readonly out: string;
  /** Where they leave notes of themselves; `out` where this is not said. */
  readonly notes?: string;
  /** The folder is handed on to others: nothing of ours stays in it once it is done. */
  readonly handedOn?: boolean;
  /** What two writers of one folder must share: a digest of everything that decides the bytes. */
  readonly identity: string;
  readonly manifests: Manifests<M>;
  /** Parts in work at once, in one process. */
  readonly workers: number;
  plan(sink: EventSink): Promise<JobPlan<Task>>;
  /**
   * The task of a part that another process planned, as this one sees it; null where there is none.
   * @throws TokensieveError (usage) `not-here` when it cannot be seen from this machine
   */
  taskAt(place: TaskPlace): Promise<Task | null>;
  placeOf(task: Task): TaskPlace;
  /** Text of the task's part or parts, as planned: UTF-8 bytes. */
  textBytes(task: Task): number;
  /** @param part one of the parts of the task's shard */
  expected(task: Task, part: number): ExpectedPart;
  /** What older rules made otherwise in a finished part of the expected fingerprint, in words; null where nothing. */
  outdated?(storage: Storage, manifest: M): Promise<string | null>;
  /** Refuses finished parts that were made otherwise. */
  staleError(stale: readonly StalePart[]): TokensieveError;
  /**
   * What a lane has for itself.
   * @param lanes how many there are in this process · @param signal ends an opening that takes its time
   */
  open(lanes: number, signal: AbortSignal): Promise<L>;
  /** The task's parts in order; of a part that is one task, that one. */
  parts(task: Task, lane: L, context: MakingContext): AsyncIterable<Making<M>>;
  figures(manifest: M, task: Task): PartFigures;
  /** Whether rows were set aside in the part. */
  quarantined(kept: Kept): boolean;
  keep(manifest: M): Kept;
  /** Date of the newest change of the rules that all parts are made by, for the notes; null where it is not known. */
  notedRules?(storage: Storage, partsBefore: number): Promise<string | null>;
  /**
   * After the last part of this process. Done by several processes, at once or one after the other, it must leave what doing
   * it once leaves.
   * @param all what was kept of every part, in order, or null while others are still at some: asked for only where needed
   */
  finish?(context: MakingContext, all: () => Promise<readonly Kept[] | null>): Promise<void>;
}
