import type { FinishedExport } from './format.js';
import { provenanceOf, weightWords } from './provenance.js';

/** A column as the card tells of it. */
export interface DescribedColumn {
  readonly name: string;
  readonly type: 'int8' | 'int32' | 'float32';
  readonly meaning: string;
}

/**
 * The data set's card. Its front matter tells `load_dataset` where the data is, and it alone: `map` of `load_from_disk` leaves
 * files of its cache (cache-*.arrow) beside it.
 */
export function hfCard(finished: FinishedExport, columns: readonly DescribedColumn[]): string {
  const from = provenanceOf(finished);
  const { counts, source } = finished;
  const { length, attention, tokenizer } = source.rules;
  const models = Object.entries(from.models).filter(([, hash]) => typeof hash === 'string');
  const apart = finished.settings.documents === 'apart';
  const share = counts.tokens === 0 ? 0 : (100 * counts.kept) / counts.tokens;
  return `---
configs:
- config_name: default
  data_files:
  - split: train
    path: train/data-*.arrow
---
# Tokens with loss weights

${counts.rows} rows of at most ${length} tokens, ${counts.tokens} tokens, ${counts.kept} of weight above 0 (${share.toFixed(1)}%).
Written by tokensieve (\`export --to hf\`).

| column | type | |
|---|---|---|
${columns.map(({ name, type, meaning }) => `| \`${name}\` | list of ${type} | ${meaning} |`).join('\n')}

The weight of a token is ${weightWords(from)}.
All lists of a row have one length. ${
    apart
      ? 'A row is a document, or the piece of one that a scored row held; pieces without a target are left out.'
      : source.packing === 'packed'
        ? "Rows are packed: a row's first id is context only and is the last one of the row before."
        : `A row is a document; a longer one goes on in rows that repeat ${source.repeats} ids as context.`
  }
${
  attention === 'within'
    ? apart
      ? 'Losses were computed with documents not seeing each other, as rows do not: a trainer may pack them where its attention keeps them apart.'
      : "Losses were computed with documents of a row not seeing each other: train with `position_ids` and an attention that honours them. Many trainers drop that column (TRL's SFTTrainer), or pack rows anew: for these export `--documents apart`."
    : 'Documents of a row see each other.'
}

| | |
|---|---|
| export | \`${from.fingerprint}\` |
| tokenizer | \`${tokenizer.hash}\` (BOS ${tokenizer.bos ?? 'none'}, EOS ${tokenizer.eos ?? 'none'}) |
${models.map(([role, hash]) => `| ${role} model | \`${String(hash)}\` |\n`).join('')}| source | ${from.kind} files, digests in \`manifests/\` |

Conventions of the source:

\`\`\`json
${JSON.stringify(from.conventions, null, 2)}
\`\`\`
`;
}
