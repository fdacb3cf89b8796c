/** Whether any of a run's shards has the column that is to be read, before all of them are read for nothing. */
import type { TokensieveError } from '../errors.js';
import { usageError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { firstRowNames } from './jsonl.js';
import type { ShardPlan } from './shard.js';

/** JSON-lines shards that are looked into: the first row of each. */
const LOOKED_AT = 16;
const FLAG = 'name the one that holds the text with --text-column (corpus.text)';

/**
 * One shard without the column is set aside or its rows are, and the run goes on; where none has it, the command is wrong.
 * @param plans of the shards that can be read · @param errors of those that cannot
 * @throws TokensieveError (usage) `missing-column`: what there is instead, and the flag
 */
export async function refuseWithoutText(
  storage: Storage,
  { plans, errors }: { readonly plans: readonly ShardPlan[]; readonly errors: readonly TokensieveError[] },
  text: string,
): Promise<void> {
  const [first] = errors;
  if (errors.some(({ code }) => code !== 'missing-column')) return;
  // A parquet shard that could be planned has it.
  if (plans.some(({ shard }) => shard.format === 'parquet')) return;
  let names: readonly string[] = [];
  for (const plan of plans.slice(0, LOOKED_AT)) {
    const own = await firstRowNames(storage, plan, text);
    if (own === null || own.includes(text)) return;
    names = names.length > 0 ? names : own;
  }
  const [shard] = plans;
  if (shard !== undefined) {
    throw usageError(
      'missing-column',
      `${shard.shard.path}: its first row has no ${JSON.stringify(text)}, and nor has that of any other shard; it has ${names.slice(0, 12).join(', ')}: ${FLAG}`,
    );
  }
  if (first !== undefined) {
    const more = errors.length > 1 ? ` So it is with all ${errors.length} shards.` : '';
    throw usageError('missing-column', `${first.message}${more} It is --text-column (corpus.text).`, {
      cause: first,
    });
  }
}
