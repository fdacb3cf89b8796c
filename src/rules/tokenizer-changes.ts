/** Changes of how text becomes ids. */

import { isMissing, type Known, type RunFacts, type Source, type TokenizerFacts } from './facts.js';
import type { RuleChange, Touch, Verdict } from './rule-change.js';

const ROWS = 'rows, and so all losses and weights';
const change = (name: string, touches: RuleChange['touches']): RuleChange => ({
  name,
  date: '2026-11-30',
  stage: 'tokenizing',
  version: 2,
  touches,
});

export const TOKENIZER_CHANGES: readonly RuleChange[] = [
  // BOS is put before a document if the tokenizer's own encoding adds it, and else not.
  change('bos-of-the-encoding', (run) => boundary(run, 'bos')),
  // EOS is put after a document if the tokenizer declares one.
  change('declared-eos', (run) => boundary(run, 'eos')),
  change('prefix-space-of-the-config', (run) => {
    const tokenizer = otherIds(run);
    if (tokenizer === null) return [];
    if (isMissing(tokenizer)) return { unknown: tokenizer.missing };
    const { file, config } = tokenizer.prefixSpace;
    if (!otherPrefix(tokenizer)) return [];
    return rows(
      `add_prefix_space ${config} of tokenizer_config.json was not read (tokenizer.json says ${file}): the first ids of texts differ from transformers'`,
    );
  }),
  // A tokenizer is what the library makes of its folder, and a control token what the library takes for special.
  change('tokenizer-of-the-library', (run) => {
    const tokenizer = otherIds(run);
    if (tokenizer === null || run.tokenizerHash === null) return [];
    if (isMissing(tokenizer)) return { unknown: tokenizer.missing };
    const { before, now } = tokenizer.hashes;
    if (run.tokenizerHash !== before) {
      return { unknown: "the tokenizer's folder holds another tokenizer than the run's" };
    }
    // Said above, and better.
    if (otherPrefix(tokenizer) || tokenizer.otherAddedTokens.length > 0) return [];
    return rows(
      now === null
        ? 'tokenizer.json was read in a way in which it is refused now'
        : "tokenizer.json was taken as it lies, and control tokens by well-known names: ids of some texts differ from transformers'",
    );
  }),
  change('added-tokens-of-the-config', (run) => {
    const tokenizer = otherIds(run);
    if (tokenizer === null) return [];
    if (isMissing(tokenizer)) return { unknown: tokenizer.missing };
    const { otherAddedTokens: tokens } = tokenizer;
    if (tokens.length === 0) return [];
    const some = tokens.slice(0, 3).map((token) => JSON.stringify(token));
    return rows(
      `added_tokens_decoder of tokenizer_config.json was not read (${some.join(', ')}${tokens.length > 3 ? ` and ${tokens.length - 3} more` : ''}): texts that hold these differ from transformers'`,
    );
  }),
];

/** The tokenizer of a run whose texts may have other ids by today's rules; null where its hash says that they have the same. */
const otherIds = ({ tokenizer, tokenizerHash }: RunFacts): Known<TokenizerFacts> | null =>
  !isMissing(tokenizer) && tokenizerHash !== null && tokenizerHash === tokenizer.hashes.now
    ? null
    : tokenizer;

const otherPrefix = ({ prefixSpace: { file, config } }: TokenizerFacts): boolean =>
  file !== null && config !== null && file !== config;

const rows = (what: string): readonly Touch[] => [{ what, results: ROWS }];

function boundary({ tokenizer, inserted, sequence }: RunFacts, role: 'bos' | 'eos'): Verdict {
  // Switched off, it was never inserted, and is not.
  if (!sequence[role]) return [];
  if (isMissing(tokenizer)) return { unknown: tokenizer.missing };
  const id = role === 'bos' ? inserted.bosId : inserted.eosId;
  const now = tokenizer.now[role];
  if (id === (now?.id ?? null)) return [];
  const name = role.toUpperCase();
  const place = role === 'bos' ? 'before' : 'after';
  if (id === null) {
    return rows(
      `${name} id ${now?.id} was not inserted, which ${now?.from} adds: rows differ from transformers'`,
    );
  }
  const from = sourceOf(id, tokenizer.before[role]);
  const instead =
    now === null
      ? role === 'bos'
        ? ', which the tokenizer does not add'
        : ', though the tokenizer declares none'
      : `, where ${now.from} says ${now.id}`;
  return rows(
    `${name} id ${id} was inserted ${from}${place} every document${instead}: rows differ from transformers'`,
  );
}

/** Where an id came from, as far as the folder still says. */
const sourceOf = (id: number, before: Source | null): string =>
  before?.id === id ? `from ${before.from} ` : '';
