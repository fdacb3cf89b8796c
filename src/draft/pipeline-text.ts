import { stringify } from 'yaml';
import { schemaLine } from '../config/schema-line.js';
import type { CorpusLook, ModelsLook } from './look.js';

/** What the file is to say. */
export interface Draft {
  readonly shards: readonly string[];
  readonly reference: string;
  readonly current?: string | undefined;
  readonly tokenizer?: string | undefined;
  readonly out: string;
  readonly keep: number;
}

/**
 * A pipeline file of a single run with a sentence for each setting that is worth a thought.
 * @param file where it will lie: its first line names the schema, seen from there
 */
export function pipelineText(file: string, draft: Draft, corpus: CorpusLook, models: ModelsLook): string {
  const { shards, reference, current, tokenizer, out, keep } = draft;
  const rows = corpus.rows === null ? '' : ` of ${corpus.rows} rows`;
  const lines = [
    schemaLine(file),
    '# What it costs, before it is paid:   tokensieve plan FILE',
    '# The run, which can be stopped at any moment and goes on by the same command:   tokensieve run FILE',
    '# Every setting there is: docs/settings.md of the package. Paths are relative to where the command is started.',
    'version: 1',
    '',
    `# ${corpus.shards} ${corpus.shards === 1 ? 'shard' : 'shards'}; the first, ${comment(corpus.first.name)}${rows}, has ${comment(corpus.columns.slice(0, 12).join(', '))}.`,
    `shards: ${flow(shards)}`,
    '',
    `# Losses under both models are stored; a token is kept where the reference finds it much easier than the current one.`,
    `reference: ${flow(reference)}  # ${parameters(models, 'reference')}`,
    ...(current === undefined
      ? ['# current: models/base  # without it only reference losses are stored, for live training']
      : [`current: ${flow(current)}  # ${parameters(models, 'current')}`]),
    ...(tokenizer === undefined ? [] : ['tokenizer:', `  path: ${flow(tokenizer)}`]),
    '',
    `out: ${flow(out)}`,
    '',
    'corpus:',
    `  text: ${flow(corpus.text)}`,
    ...(corpus.group === null
      ? ['  # keep: [url]  # columns to carry along, for figures by source']
      : [`  # Carried along, for figures by ${comment(corpus.group)}.`, `  keep: ${flow([corpus.group])}`]),
    '',
    'sequence:',
    '  # Tokens a row, context included: what both models take, at most the 2048 of the paper.',
    `  length: ${models.length}`,
    '  # packed: documents joined and cut into exact rows, as they are trained on. document: one document a row.',
    '  packing: packed',
    '',
    ...(current === undefined
      ? []
      : [
          'select:',
          '  # slm is the paper’s method; the others: docs/methods.md.',
          '  method: slm',
          '  # Share of the tokens to keep. The paper: 0.6 at 1.1B, 0.7 at 7B.',
          `  keep: ${keep}`,
          '',
        ]),
  ];
  return lines.join('\n');
}

/** A value as YAML on one line, quoted where it must be. */
const flow = (value: unknown): string => stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim();

/** Text of a file, in a comment: one line. */
const comment = (text: string): string => JSON.stringify(text).slice(1, -1);

const parameters = (models: ModelsLook, role: string): string =>
  `${((models.parameters[role] ?? 0) / 1e6).toLocaleString('en', { maximumSignificantDigits: 3 })}M parameters`;
