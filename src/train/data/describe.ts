import { createHash } from 'node:crypto';
import { explainDifference } from '../../dataset/manifest.js';
import { meansColumns } from '../../dataset/recipe.js';
import type { Source } from '../../dataset/source.js';
import { usageError } from '../../errors.js';
import { hashJson } from '../../json/canonical-json.js';
import type { DataDescription } from '../batch.js';

/**
 * What the sources agree on. A column of losses or weights counts only where every source has it.
 * @param ratios of the sources, in their order
 * @throws TokensieveError (usage) `tokenizers-differ`, `sources-differ`: the two folders and what differs
 */
export function describeData(sources: readonly Source[], ratios: readonly number[]): DataDescription {
  const [first] = sources;
  if (first === undefined) throw new Error('there is no source to describe');
  const hasWeights = sources.every(({ columns }) => columns.includes('weight'));
  for (const source of sources) checkAgreement(first, source, hasWeights);
  return {
    length: sources.reduce((longest, { rules }) => Math.max(longest, rules.length), 0),
    attention: first.rules.attention,
    tokenizerHash: first.rules.tokenizer.hash,
    // The mean of a row on each of its tokens ranks rows, not tokens.
    hasReferenceLoss: sources.every(
      ({ columns, recipe }) =>
        columns.includes('reference_loss') && !meansColumns(recipe.rows).has('reference_loss'),
    ),
    hasWeights,
    normaliser: hasWeights ? first.normaliser : 'sum-of-weights',
    sources: sources.map(({ name, rows, tokens, targets, columns, parts }, i) => {
      const kept = columns.includes('weight')
        ? parts.reduce((sum, { manifest }) => sum + (manifest.counts.kept ?? 0), 0)
        : null;
      return { path: name, ratio: ratios[i] ?? 1, rows, tokens, targets, kept };
    }),
    hash: hashOf(sources),
  };
}

function checkAgreement(a: Source, b: Source, weighted: boolean): void {
  const tokenizers = explainDifference(a.rules.tokenizer, b.rules.tokenizer, 'tokenizer');
  if (tokenizers.length > 0) {
    throw usageError(
      'tokenizers-differ',
      `${a.name} and ${b.name} were tokenized differently (${tokenizers.join('; ')}); use folders of one tokenizer and the same --bos and --eos`,
    );
  }
  const how = ({ rules, normaliser }: Source): object => ({
    attention: rules.attention,
    ...(weighted && { normaliser }),
  });
  const others = explainDifference(how(a), how(b));
  if (others.length === 0) return;
  throw usageError(
    'sources-differ',
    `${a.name} and ${b.name} were made differently (${others.join('; ')}); a row must mean the same in every source: make one of them again`,
  );
}

/** Over manifests, which hold the digests of their files; where a folder lies does not matter. */
function hashOf(sources: readonly Source[]): string {
  const hash = createHash('sha256');
  for (const { parts } of sources) {
    hash.update(`source of ${parts.length} parts\n`);
    for (const { manifest } of parts) hash.update(`${hashJson(manifest)}\n`);
  }
  return hash.digest('hex');
}
