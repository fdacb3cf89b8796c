/** Whether any of a run's shards has the column that is to be read, before all of them are read for nothing. */
import type { TokensieveError } from '../errors.js';
import { usageError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { namesWithoutText } from './jsonl.js';
import type { ShardPlan } from './shard.js';

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
  // The first that has it ends the look, which is most often the first of all.
  for (const plan of plans) {
    const own = await namesWithoutText(storage, plan, text);
    if (own === null) return;
    names = names.length > 0 ? names : own;
  }
  const [shard] = plans;
  if (shard !== undefined) {
    throw usageError(
      'missing-column',
      `${shard.shard.path}: none of its first rows has ${JSON.stringify(text)}, nor has one of any other shard; they have ${names.slice(0, 12).join(', ')}: ${FLAG}`,
    );
  }
  if (first !== undefined) {
    const more = errors.length > 1 ? ` So it is with all ${errors.length} shards.` : '';
    throw usageError('missing-column', `${first.message}${more} It is --text-column (corpus.text).`, {
      cause: first,
    });
  }
}
