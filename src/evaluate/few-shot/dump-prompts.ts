/** Every prompt of some tasks in a file, without a model: for engines elsewhere, and to be compared. */
import { firstLine, TokensieveError, usageError } from '../../errors.js';
import type { EventSink } from '../../parts/events.js';
import { absolutePath } from '../../storage/path.js';
import type { StagedFile, Storage } from '../../storage/storage.js';
import { readRecords } from '../read-records.js';
import { promptOf } from './prompt.js';
import { type Asked, type FewShotTask, type FewShotTaskName, fewShotTask } from './questions.js';
import type { DumpSettings } from './settings.js';

/** Longest file of worked examples, in bytes. */
const MAX_EXAMPLES = 1 << 20;

export interface DumpReport {
  readonly path: string;
  /** Items written, by task. */
  readonly items: Readonly<Partial<Record<FewShotTaskName, number>>>;
  /** Lines set aside, by reason. */
  readonly quarantined: Readonly<Record<string, number>>;
}

interface DumpOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/**
 * Writes `{task, item, question, answer, prompt}` for every item of the tasks, in the order of their files; `item` counts
 * from 0 in each. The file is there whole or not at all.
 * @throws TokensieveError (usage) `no-task-data`, `no-prompts`, `out-is-input`; errors of the disk
 */
export async function dumpPrompts(
  { tasks, task_data: data, prompts, limit, dump_prompts: out }: DumpSettings,
  options: DumpOptions,
): Promise<DumpReport> {
  const folder = (path: string): string => path.replace(/\/+$/, '');
  const plans = await Promise.all(
    [...new Set(tasks)].map(async (name) => {
      const task = fewShotTask(name);
      const path = `${folder(data)}/${name}/${task.file}`;
      if (absolutePath(path) === absolutePath(out))
        throw usageError('out-is-input', `${out}: holds the items of ${name}; choose another --dump-prompts`);
      await options.storage.stat(path).catch(missing('no-task-data', path, `the items of ${name}`));
      return { name, task, path, examples: await examplesOf(options.storage, folder(prompts), task) };
    }),
  );
  const file = await options.storage.stage(out, { onConflict: 'replace', alone: true });
  const items: Partial<Record<FewShotTaskName, number>> = {};
  const quarantined: Record<string, number> = {};
  try {
    for (const { name, task, path, examples } of plans) {
      items[name] = await dumpTask(file, { name, task, path, examples, limit }, quarantined, options);
    }
    await file.commit();
    return { path: out, items, quarantined };
  } catch (error) {
    await file.abort();
    throw error;
  }
}

async function dumpTask(
  file: StagedFile,
  plan: {
    readonly name: FewShotTaskName;
    readonly task: FewShotTask;
    readonly path: string;
    readonly examples: string;
    readonly limit: number | undefined;
  },
  quarantined: Record<string, number>,
  { storage, sink, signal }: DumpOptions,
): Promise<number> {
  const { name, task, path, examples, limit = Number.POSITIVE_INFINITY } = plan;
  let item = 0;
  for await (const read of readRecords(storage, path, (value) => askedOf(value, task))) {
    signal.throwIfAborted();
    if (item >= limit) break;
    if ('reason' in read) {
      const { line, reason, detail } = read;
      quarantined[reason] = (quarantined[reason] ?? 0) + 1;
      sink({ event: 'quarantined', shard: name, row: line, rows: 1, reason, detail: `${path}: ${detail}` });
    } else {
      const { question, answer } = read.record;
      const prompt = promptOf(examples, read.record, task.frame);
      await file.write(
        Buffer.from(`${JSON.stringify({ task: name, item, question, answer, prompt })}\n`, 'utf8'),
      );
    }
    // A line that is set aside keeps its number, so that items are those of the file.
    item++;
  }
  return item;
}

function askedOf(value: unknown, { item }: FewShotTask): Asked | string {
  const parsed = item.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return `${issue?.path.join('.') || 'the line'}: ${issue?.message ?? 'not an item'}`;
}

/** The worked examples of a task, `FOLDER/cot/NAME` as published, or `FOLDER/NAME`. */
async function examplesOf(storage: Storage, folder: string, { examples }: FewShotTask): Promise<string> {
  const places = [`${folder}/cot/${examples}`, `${folder}/${examples}`];
  for (const path of places) {
    const version = await storage.stat(path).catch((error: unknown) => {
      if (isMissing(error)) return null;
      throw error;
    });
    if (version === null) continue;
    if (version.size > MAX_EXAMPLES)
      throw usageError(
        'no-prompts',
        `${path}: ${version.size} bytes, at most ${MAX_EXAMPLES} are worked examples`,
      );
    const bytes = await storage.readRange(path, 0, version.size, version);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch (error) {
      throw usageError('no-prompts', `${path}: not well-formed UTF-8: ${firstLine(error)}`, { cause: error });
    }
  }
  throw usageError(
    'no-prompts',
    `${places[0]}: no such file; --prompts expects the folder of worked examples`,
  );
}

const isMissing = (error: unknown): boolean => error instanceof TokensieveError && error.code === 'not-found';

const missing =
  (code: string, path: string, what: string) =>
  (error: unknown): never => {
    if (!isMissing(error)) throw error;
    throw usageError(code, `${path}: no such file; --task-data expects ${what} there`, { cause: error });
  };
