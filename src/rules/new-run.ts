/** By which versions of the rules a run is made that is about to begin. */

import { judge, versionsOf } from './changes.js';
import { isMissing, type RunFacts, type TokenizerFacts } from './facts.js';
import { readModelFacts } from './read-model.js';
import { type HashSettings, readTokenizerFacts } from './read-tokenizer.js';
import type { RuleChange, Stage } from './rule-change.js';

type Boundaries = RunFacts['inserted'];

export interface NewRun {
  /** A tokenizer.json, or the folder that holds it. */
  readonly tokenizer: string;
  readonly controlTokens?: HashSettings['controlTokens'];
  readonly sequence: {
    readonly length: number;
    readonly bos?: boolean | undefined;
    readonly eos?: boolean | undefined;
  };
  /** Ids that go around documents, where settings or the tokenizer's room decide otherwise than its folder says. */
  readonly marks?: Boundaries;
  readonly keep: readonly string[];
  readonly models: readonly { readonly role: string; readonly folder: string }[];
}

export interface RunRules {
  readonly versions: Readonly<Record<Stage, number>>;
  /** What parts of such a run by older rules have otherwise: clauses. */
  readonly changes: readonly string[];
  /**
   * The ids that older rules would have found around documents. A recipe names these where a mark is switched off: no row has
   * them, and parts by older rules name them too.
   */
  readonly before: Boundaries;
}

/** Reads what its tokenizer's and models' folders say; nothing of the corpus. */
export async function rulesOfNewRun(run: NewRun, changes?: readonly RuleChange[]): Promise<RunRules> {
  const { bos, eos } = run.sequence;
  const read = await readTokenizerFacts(run.tokenizer, {
    controlTokens: run.controlTokens ?? 'text',
    bos,
    eos,
  });
  const tokenizer = run.marks === undefined || isMissing(read) ? read : { ...read, now: marked(run.marks) };
  const models: RunFacts['models'][number][] = [];
  for (const { role, folder } of run.models) {
    models.push({ role, facts: await readModelFacts(role, folder) });
  }
  const found = 'before' in tokenizer ? tokenizer.before : { bos: null, eos: null };
  const before: Boundaries = { bosId: found.bos?.id ?? null, eosId: found.eos?.id ?? null };
  const judgement = judge(
    {
      semantics: {},
      inserted: before,
      sequence: {
        length: run.sequence.length,
        bos: bos !== false,
        eos: eos !== false,
      },
      tokenizerHash: 'hashes' in tokenizer ? tokenizer.hashes.before : null,
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
    before,
  };
}

function marked({ bosId, eosId }: Boundaries): TokenizerFacts['now'] {
  const source = (id: number | null) => (id === null ? null : { id, from: 'the run' });
  return { bos: source(bosId), eos: source(eosId) };
}
