/** What a first pipeline file is written from: the first shard as it is, and the models by the checks of a run. */
import { expandShards } from '../corpus/expand.js';
import type { Shard } from '../corpus/shard.js';
import { usageError } from '../errors.js';
import { inspect } from '../inspect/inspect.js';
import { DEFAULT_LENGTH, defaultCacheFolder, openModelInputs } from '../score/open-inputs.js';
import { scoring } from '../score/settings.js';
import type { Storage } from '../storage/storage.js';

/** The first shard of a corpus. */
export interface CorpusLook {
  readonly shards: number;
  readonly first: Shard;
  /** Rows of the first shard; null where counting would mean reading all of it. */
  readonly rows: number | null;
  readonly columns: readonly string[];
  readonly text: string;
  /** A column by which figures are told apart later, such as where a document comes from. */
  readonly group: string | null;
}

/** Names under which corpora keep where a document comes from, best first. */
const GROUP_NAMES = ['source', 'domain', 'subset', 'url', 'lang', 'language', 'repo_name', 'meta'];

/**
 * Finds the shards and looks at the first.
 * @param text the column that was named; without one it is found
 * @throws TokensieveError as `expandShards` and the readers do; (usage) `missing-column`
 */
export async function lookAtCorpus(
  storage: Storage,
  patterns: readonly string[],
  text: string | undefined,
): Promise<CorpusLook> {
  const shards = await expandShards(storage, patterns);
  const [first] = shards;
  if (first === undefined) throw usageError('no-shards', `${patterns.join(', ')}: no shards`);
  const found = await inspect(first.path, { storage, cacheFolder: null });
  if (found.kind !== 'parquet' && found.kind !== 'jsonl')
    throw usageError('no-shards', `${first.path}: is ${found.kind}, expected parquet or jsonl`);
  const columns = found.columns.map(({ name }) => name);
  const column = text ?? found.textColumn;
  if (column === null || !columns.includes(column)) {
    throw usageError(
      'missing-column',
      `${first.path}: has no ${text === undefined ? 'column that looks like text' : `column ${JSON.stringify(text)}`}; it has ${columns.slice(0, 12).join(', ')}: name the one that holds the text with --text-column`,
    );
  }
  return {
    shards: shards.length,
    first,
    rows: found.kind === 'parquet' ? found.rows : found.whole ? found.sampledLines - found.badLines : null,
    columns,
    text: column,
    group: GROUP_NAMES.find((name) => name !== column && columns.includes(name)) ?? null,
  };
}

/** The models of a run, checked against each other as the run would. */
export interface ModelsLook {
  readonly parameters: Readonly<Record<string, number>>;
  /** Tokens a row that both take, at most the paper's. */
  readonly length: number;
  readonly tokenizer: string;
  readonly warnings: readonly string[];
}

/** @throws TokensieveError as `openModelInputs` does: no such folder, two tokenizers, too few logits, … */
export async function lookAtModels(
  models: {
    readonly reference: string;
    readonly current?: string | undefined;
    readonly tokenizer?: string | undefined;
  },
  length: number | undefined,
): Promise<ModelsLook> {
  const { sequence, score, run } = scoring.parse({ shards: ['x'], out: 'x', reference: models.reference });
  const inputs = await openModelInputs(
    {
      reference: models.reference,
      current: models.current,
      tokenizer: { path: models.tokenizer, control_tokens: 'text' },
      sequence: { attention: sequence.attention, length },
      score,
      run: { ...run, cache: run.cache ?? defaultCacheFolder() },
    },
    'cpu',
  );
  await inputs.close();
  const infos = inputs.roles.flatMap((role) => {
    const info = inputs.models[role]?.info;
    return info === undefined ? [] : [{ role, info }];
  });
  return {
    parameters: Object.fromEntries(infos.map(({ role, info }) => [role, info.parameters])),
    length:
      length ?? Math.min(DEFAULT_LENGTH, ...infos.map(({ info }) => info.maxPositions ?? DEFAULT_LENGTH)),
    tokenizer: inputs.tokenizerPath,
    warnings: inputs.warnings,
  };
}
