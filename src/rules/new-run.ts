/** By which versions of the rules a run is made that is about to begin. */
import { judge, type RuleChange, type Stage, versionsOf } from './changes.js';
import { isMissing, type RunFacts, type TokenizerFacts } from './facts.js';
import { readModelFacts } from './read-model.js';
import { readTokenizerFacts } from './read-tokenizer.js';

type Boundaries = RunFacts['inserted'];

export interface NewRun {
  /** A tokenizer.json, or the folder that holds it. */
  readonly tokenizer: string;
  readonly sequence: { readonly length: number; readonly bos?: boolean; readonly eos?: boolean };
  /** Ids that go around documents, where settings or the tokenizer's room decide otherwise than its folder says. */
  readonly marks?: Boundaries;
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
  const read = await readTokenizerFacts(run.tokenizer);
  const tokenizer = run.marks === undefined || isMissing(read) ? read : { ...read, now: marked(run.marks) };
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

function marked({ bosId, eosId }: Boundaries): TokenizerFacts['now'] {
  const source = (id: number | null) => (id === null ? null : { id, from: 'the run' });
  return { bos: source(bosId), eos: source(eosId) };
}
