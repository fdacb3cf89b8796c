/**
 * What each process that makes parts tells of itself, in a small file of its own below the output folder. Manifests
 * alone say what is done; these notes say who is at it and how fast, for `status`. They are rewritten every few
 * seconds, never read by a run, and losing one loses nothing else.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { z } from 'zod';
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';
import { isBroken, sealed } from '../json/sealed.js';
import { commitBytes } from '../storage/commit-bytes.js';
import { joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { EventSink } from './events.js';
import type { Share } from './share.js';

const FOLDER = '.workers';
/** What is noted of a run's inputs lies beside them (pack/input-notes.ts). */
const NOTES = /\/(plan-[^/]*|\d{8}T\d{6}-[^/]*)\.json$/;
/** Time between two writes. */
const EVERY_MS = 5_000;
/** Notes of processes that began longer ago are removed when a run is planned. */
const KEPT_MS = 7 * 86_400_000;
/** Longest file that is read. */
const MAX_BYTES = 1 << 18;

const count = z.number().min(0);
const kind = z.enum(['scored', 'packed', 'weighted', 'export']);
/** What parts are, in the notes. */
export type NotedKind = z.infer<typeof kind>;

const planSchema = z.object({
  version: z.literal(1),
  kind,
  recipe: z.string(),
  shards: count,
  broken_shards: count,
  /** Known parts; a jsonl shard counts as one. */
  parts: count,
  /** Shards whose parts only reading tells. */
  streams: count,
  /** Text of all parts, an estimate for compressed jsonl. */
  text_bytes: count,
  /** Date of the newest change of the rules that all parts were made by; absent where there may be older ones. */
  rules: z.string().optional(),
});
/** What a run's plan came to, the same whoever makes it. */
export type PlanNotes = z.infer<typeof planSchema>;

const workerSchema = z.object({
  version: z.literal(1),
  worker: z.string(),
  executor: z.enum(['local', 'array', 'queue']),
  share: z.object({ index: count, count }).nullable(),
  host: z.string(),
  pid: z.int(),
  kind,
  recipe: z.string(),
  state: z.enum(['running', 'done', 'stopped', 'failed']),
  /** Times as ISO 8601. */
  started: z.string(),
  updated: z.string(),
  /** Made by this process. */
  parts: count,
  tokens: count,
  text_bytes: count,
  /** Time with a part in work. */
  seconds: count,
  in_work: z.array(z.object({ shard: z.string(), part: count, since: z.string() })),
  error: z.string().nullable(),
  /** Parts of all that the process was asked for, those found done included; absent unless it came to its end. */
  whole: count.optional(),
});
export type WorkerNotes = z.infer<typeof workerSchema>;

export interface OpenWorkerNotes {
  /** Sees the run's events and hands them on. */
  readonly sink: EventSink;
  /**
   * Last words. The file stays, unless all went well in a folder that is handed on.
   * @param said why it failed; how many parts there are in all, where that is known
   */
  close(
    state: 'done' | 'stopped' | 'failed',
    said?: { readonly error?: string; readonly whole?: number },
  ): Promise<void>;
}

export interface WorkerIdentity extends Pick<WorkerNotes, 'executor' | 'kind' | 'recipe'> {
  readonly share?: Share | undefined;
  /** Nothing of ours stays in the folder once it is done. */
  readonly handedOn?: boolean | undefined;
}

/** Begins this process's notes below `out`. What goes wrong with writing them is left alone: a run never ends by it. */
export async function openWorkerNotes(
  storage: Storage,
  out: string,
  { handedOn = false, ...identity }: WorkerIdentity,
  onward: EventSink,
): Promise<OpenWorkerNotes> {
  const started = new Date().toISOString();
  const worker = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`;
  // The time comes first, so that old ones are known by their names.
  const path = joinPath(out, FOLDER, `${started.replace(/[^0-9T]/g, '').slice(0, 15)}-${worker}.json`);
  const inWork = new Map<string, { shard: string; part: number; since: string }>();
  const made = { parts: 0, tokens: 0, text_bytes: 0 };
  let busy = 0;
  let busySince = 0;
  const now = (): number => performance.now();
  const notes = (
    state: WorkerNotes['state'],
    { error = null, whole }: { readonly error?: string | null; readonly whole?: number | undefined },
  ): WorkerNotes => ({
    version: 1,
    worker,
    ...identity,
    share: identity.share ?? null,
    host: hostname(),
    pid: process.pid,
    state,
    started,
    updated: new Date().toISOString(),
    ...made,
    seconds: (busy + (inWork.size > 0 ? now() - busySince : 0)) / 1000,
    in_work: [...inWork.values()],
    error,
    ...(whole !== undefined && { whole }),
  });
  let writing: Promise<void> = Promise.resolve();
  const write = (state: WorkerNotes['state'], said: Parameters<typeof notes>[1] = {}): Promise<void> => {
    writing = writing.then(() => writeJson(storage, path, notes(state, said)).catch(() => undefined));
    return writing;
  };
  const timer = setInterval(() => void write('running'), EVERY_MS);
  timer.unref();
  await write('running');
  return {
    sink(event) {
      if (event.event === 'part-started') {
        if (inWork.size === 0) busySince = now();
        const { shard, part } = event;
        inWork.set(`${shard}\n${part}`, { shard, part, since: new Date().toISOString() });
      } else if (event.event === 'progress') {
        made.tokens += event.tokens;
        made.text_bytes += event.text_bytes;
      } else if (event.event === 'part-done' || event.event === 'part-given-up') {
        if (event.event === 'part-done') made.parts++;
        inWork.delete(`${event.shard}\n${event.part}`);
        if (inWork.size === 0) busy += now() - busySince;
      }
      onward(event);
    },
    async close(state, said) {
      clearInterval(timer);
      await write(state, said);
      if (handedOn && state === 'done') await storage.remove(path).catch(() => undefined);
    },
  };
}

/** Writes down what the plan came to, and removes notes of long ago. */
export async function writePlanNotes(storage: Storage, out: string, plan: PlanNotes): Promise<void> {
  const before = new Date(Date.now() - KEPT_MS)
    .toISOString()
    .replace(/[^0-9T]/g, '')
    .slice(0, 15);
  try {
    await writeJson(storage, joinPath(out, FOLDER, `plan-${plan.kind}.json`), plan);
    for (const path of await storage.list(joinPath(out, FOLDER))) {
      const [, stamp] = /\/(\d{8}T\d{6})-[^/]*\.json$/.exec(path) ?? [];
      if (stamp !== undefined && stamp < before) await storage.remove(path);
    }
  } catch {
    // As with the notes themselves: a run that cannot write fails where it writes parts.
  }
}

/** Removes all notes below an output folder that is done and handed on. */
export async function removeNotes(storage: Storage, out: string): Promise<void> {
  try {
    for (const path of await storage.list(joinPath(out, FOLDER))) await storage.remove(path);
  } catch {
    // As with writing them.
  }
}

/** The notes below an output folder; files that cannot be read are passed over, and those that are damaged are named. */
export async function readWorkerNotes(
  storage: Storage,
  out: string,
): Promise<{
  readonly plans: readonly PlanNotes[];
  readonly workers: readonly WorkerNotes[];
  readonly damaged: readonly string[];
}> {
  const plans: PlanNotes[] = [];
  const workers: WorkerNotes[] = [];
  const damaged: string[] = [];
  for (const path of await storage.list(joinPath(out, FOLDER))) {
    if (!NOTES.test(path)) continue;
    const json = await readJson(storage, path);
    const plan = planSchema.safeParse(json);
    const worker = workerSchema.safeParse(json);
    if (json === 'damaged') damaged.push(path);
    else if (plan.success) plans.push(plan.data);
    else if (worker.success) workers.push(worker.data);
  }
  return { plans, workers, damaged };
}

/** Null of a file that is gone or far too long. */
async function readJson(storage: Storage, path: string): Promise<unknown> {
  let text: string;
  try {
    const { size } = await storage.stat(path);
    if (size > MAX_BYTES) return null;
    text = Buffer.from(await storage.readRange(path, 0, size)).toString('utf8');
  } catch {
    return null;
  }
  try {
    const json: unknown = JSON.parse(text);
    return isJsonObject(json) && isBroken(json) ? 'damaged' : json;
  } catch {
    return 'damaged';
  }
}

async function writeJson(storage: Storage, path: string, value: object): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(sealed({ ...value } as JsonObject))}\n`, 'utf8');
  await commitBytes(storage, path, bytes, { onConflict: 'replace' });
}
