import { type DataSet, isOfRun } from '../dataset/data-set.js';
import { rulesOfParts, rulesWarning } from '../rules/run-rules.js';
import type { Storage } from '../storage/storage.js';
import { unfinishedRun } from './unfinished.js';

/** An event of every sort of run. */
type Told = { readonly event: 'note' | 'warning'; readonly message: string };

/**
 * What a command says of a run that it reads: which of its folders is taken, which changes of the rules touch it, and what it lacks.
 * Whoever named the folder of the parts themselves need not be told which it is.
 */
export async function tellOf(storage: Storage, set: DataSet, sink: (event: Told) => void): Promise<void> {
  const { name, kind, folder, parts } = set;
  if (isOfRun(set)) sink({ event: 'note', message: `${name}: its ${kind} parts are taken (${folder})` });
  const old = rulesWarning(name, await rulesOfParts(storage, parts));
  const unfinished = await unfinishedRun(storage, set, { weights: true });
  for (const message of [old, unfinished]) if (message !== null) sink({ event: 'warning', message });
}
