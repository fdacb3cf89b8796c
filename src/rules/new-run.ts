/** By which versions of the rules a run is made that is about to begin. */
import { judge, type RuleChange, type Stage, versionsOf } from './changes.js';
import type { RunFacts } from './facts.js';
import { readModelFacts } from './read-model.js';
import { readTokenizerFacts } from './read-tokenizer.js';

export interface NewRun {
  /** A tokenizer.json, or the folder that holds it. */
  readonly tokenizer: string;
  readonly sequence: { readonly length: number; readonly bos?: boolean; readonly eos?: boolean };
  readonly keep: readonly string[];
  readonly models: readonly { readonly role: string; readonly folder: string }[];
}

export interface RunRules {
  readonly versions: Readonly<Record<Stage, number>>;
  /** What parts of such a run by older rules have otherwise: clauses. */
  readonly changes: readonly string[];
}

/** Reads what its tokenizer's and models' folders say; nothing of the corpus. */
export async function rulesOfNewRun(run: NewRun, changes?: readonly RuleChange[]): Promise<RunRules> {
  const tokenizer = await readTokenizerFacts(run.tokenizer);
  const models: RunFacts['models'][number][] = [];
  for (const { role, folder } of run.models) {
    models.push({ role, facts: await readModelFacts(role, folder) });
  }
  const before = 'before' in tokenizer ? tokenizer.before : { bos: null, eos: null };
  const judgement = judge(
    {
      semantics: {},
      inserted: { bosId: before.bos?.id ?? null, eosId: before.eos?.id ?? null },
      sequence: {
        length: run.sequence.length,
        bos: run.sequence.bos !== false,
        eos: run.sequence.eos !== false,
      },
      longestRow: run.sequence.length,
      keep: run.keep,
      tokenizer,
      models,
      reading: { shards: [], patterns: null, setAside: [], roundedColumns: [] },
    },
    changes,
  );
  return {
    versions: versionsOf(judgement),
    changes: judgement.touched.flatMap(({ touches }) => touches.map(({ what }) => what)),
  };
}
