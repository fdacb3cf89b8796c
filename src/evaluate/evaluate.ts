import { readFileSync } from 'node:fs';
import { parseSettings } from '../config/parse-settings.js';
import type { EventSink } from '../parts/events.js';
import { localStorage } from '../storage/local.js';
import { retryingReads } from '../storage/retrying.js';
import type { Storage } from '../storage/storage.js';
import { evaluateSet, type HeldOutSet, type PlannedSet, planSet } from './held-out.js';
import { type Examinee, openExaminee } from './open.js';
import { openTaskFile, type TaskFile } from './read-items.js';
import { type EvaluationReport, type Findings, reportOf } from './report.js';
import { runTask, type TaskResult } from './run-task.js';
import { type EvaluateInput, type EvaluateSettings, evaluateSettings } from './settings.js';
import { TASKS, type Task } from './tasks.js';

export interface EvaluateOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/**
 * Evaluates a model: loss on held-out documents, likelihood of the tasks' answers. Inputs are found and checked
 * before the model is opened; what is then unusable, a row, a line or a shard, is set aside, told and counted. Nothing
 * is kept between runs: an evaluation that was stopped starts anew.
 * @throws TokensieveError (usage) `no-shards`, `no-task-data`, `vocabulary-mismatch`, `sequence-too-long` and whatever
 *   opening a model or a tokenizer throws; (fatal) `loss-not-finite`
 */
export async function evaluate(
  settings: EvaluateSettings,
  options: EvaluateOptions,
): Promise<EvaluationReport> {
  const inputs = await findInputs(settings, options);
  const examinee = await openExaminee(settings);
  try {
    const findings = await examined(inputs, examinee, settings, options);
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    const { profile } = examinee;
    return reportOf(findings, examinee, settings, { version, profile });
  } finally {
    await examinee.close();
  }
}

/** Settings of `evaluateHeldOut`, all of them optional. */
export type HeldOutSettings = Omit<
  EvaluateInput,
  'model' | 'held_out' | 'tasks' | 'task_data' | 'shots' | 'choices'
>;

/**
 * Loss of held-out documents alone, for programs that evaluate as they go.
 * @param inputs patterns of shards (files, folders, globs) by the set's name
 * @returns a set for each name, in order; losses in nats, standard errors over documents
 * @throws TokensieveError as `evaluate` does; `bad-settings` (usage)
 */
export async function evaluateHeldOut(
  modelFolder: string,
  inputs: Readonly<Record<string, readonly string[]>>,
  settings: HeldOutSettings = {},
  options: Partial<EvaluateOptions> = {},
): Promise<Readonly<Record<string, HeldOutSet>>> {
  const parsed = parseSettings(
    evaluateSettings,
    { ...settings, model: modelFolder, held_out: inputs },
    'evaluateHeldOut',
  );
  const complete: EvaluateOptions = {
    storage: options.storage ?? retryingReads(localStorage()),
    sink: options.sink ?? (() => undefined),
    signal: options.signal ?? new AbortController().signal,
  };
  const found = await findInputs(parsed, complete);
  const examinee = await openExaminee(parsed);
  try {
    const { heldOut } = await examined(found, examinee, parsed, complete);
    return Object.fromEntries(heldOut);
  } finally {
    await examinee.close();
  }
}

interface Inputs {
  readonly sets: readonly PlannedSet[];
  readonly tasks: readonly { readonly task: Task; readonly file: TaskFile }[];
}

async function findInputs(settings: EvaluateSettings, options: EvaluateOptions): Promise<Inputs> {
  const sets: PlannedSet[] = [];
  for (const [name, patterns] of Object.entries(settings.held_out)) {
    sets.push(await planSet(options, name, patterns, settings));
  }
  const tasks: { task: Task; file: TaskFile }[] = [];
  for (const name of settings.tasks) {
    const task = TASKS[name];
    tasks.push({ task, file: await openTaskFile(options.storage, settings.task_data ?? '.', task) });
  }
  return { sets, tasks };
}

/** What the model makes of the inputs, if it was the same model all the while. */
async function examined(
  inputs: Inputs,
  examinee: Examinee,
  settings: EvaluateSettings,
  options: EvaluateOptions,
): Promise<Findings> {
  const findings = await examine(inputs, examinee, settings, options).catch(async (error: unknown) => {
    // Weights that change under a session give losses that are no numbers, too.
    await examinee.look();
    throw error;
  });
  await examinee.look();
  return findings;
}

async function examine(
  { sets, tasks }: Inputs,
  examinee: Examinee,
  settings: EvaluateSettings,
  options: EvaluateOptions,
): Promise<Findings> {
  const plans = sets.flatMap((set) => set.plans);
  options.sink({ event: 'note', message: examinee.deviceWhy });
  for (const message of examinee.warnings) options.sink({ event: 'warning', message });
  options.sink({
    event: 'planned',
    shards: plans.length + tasks.length,
    parts: plans.reduce((sum, plan) => sum + (plan.parts?.length ?? 1), 0) + tasks.length,
    done: 0,
    text_bytes:
      plans.reduce((sum, plan) => sum + plan.textBytes, 0) +
      tasks.reduce((sum, { file }) => sum + file.bytes, 0),
    done_bytes: 0,
  });
  const heldOut = new Map<string, HeldOutSet>();
  for (const set of sets) heldOut.set(set.name, await evaluateSet(options, set, examinee, settings));
  const results: TaskResult[] = [];
  for (const { task, file } of tasks) {
    results.push(await runTask(options, task, file, examinee, settings));
  }
  return { heldOut, tasks: results };
}
