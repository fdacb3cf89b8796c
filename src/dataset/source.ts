/** A data set whose rows are taken one after another, by training or an export. */
import { z } from 'zod';
import { TokensieveError, usageError } from '../errors.js';
import { mapAhead } from '../flow/map-ahead.js';
import type { Storage } from '../storage/storage.js';
import { type DataSet, type DataSetPart, NEWEST_FIRST, openDataSet } from './data-set.js';
import { openSequences } from './finished-parts.js';
import { neededFields, rowEdges, sequenceSection, tokenizerSection } from './recipe.js';
import type { LossColumn, TokenColumn } from './sequence-batch.js';

/** Files looked at, not read, at once. */
const STATS_AHEAD = 16;

/** Every file looked at, one footer read, no tokens yet. */
export interface Source extends DataSet {
  readonly columns: readonly TokenColumn[];
  readonly losses: readonly LossColumn[];
  readonly rows: number;
  readonly tokens: number;
  readonly targets: number;
  readonly rules: RowRules;
  /** Of stored weights. */
  readonly normaliser: 'sum-of-weights' | 'eligible-tokens';
}

/** How text became the rows of a source. */
export interface RowRules {
  readonly tokenizer: {
    readonly hash: string;
    /** Null where none is inserted. */
    readonly bos: number | null;
    readonly eos: number | null;
  };
  /** Ids of the longest row that there may be. */
  readonly length: number;
  readonly attention: 'across' | 'within';
}

const rowFields = z.object({
  tokenizer: tokenizerSection.pick({ hash: true, bos_id: true, eos_id: true }),
  sequence: sequenceSection.pick({ length: true, attention: true, bos: true, eos: true }),
});

/**
 * Opens a data set with rows and targets.
 * @param path a run's output folder, whose weighted parts are taken if it has any, else the scored, else the packed ones; a folder
 *   of such parts, or of some of them; or a folder that holds one such folder
 * @throws TokensieveError (usage) `no-parts`; `several-data-sets`; `part-changed` where a file is gone or has not the
 *   bytes of its manifest; `no-rows`, `no-targets`; `not-trainable` where manifests do not tell how rows were made; `bad-manifest`;
 *   and as `openDataSet` throws
 */
export async function openSource(storage: Storage, path: string): Promise<Source> {
  try {
    const set = await findSource(storage, path);
    const { folder } = set;
    await checkSizes(storage, set);
    const rows = sum(set.parts.map((part) => part.rows));
    if (rows === 0)
      throw usageError('no-rows', `${folder}: its parts have no rows; name a folder that has some`);
    const targets = sum(set.parts.map(({ manifest }) => manifest.counts.eligible ?? 0));
    if (targets === 0) {
      throw usageError(
        'no-targets',
        `${folder}: none of its ${rows} rows has a target; there is nothing to learn from`,
      );
    }
    const { columns } = await openSequences(storage, set.first);
    return {
      ...set,
      columns,
      losses: columns.filter((name) => name !== 'weight'),
      rows,
      tokens: sum(set.parts.map((part) => part.tokens)),
      targets,
      rules: rulesOf(set),
      normaliser: set.recipe.conventions.normaliser ?? 'sum-of-weights',
    };
  } catch (error) {
    // What is wrong with a file here is wrong with the command: nothing was started.
    if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
    throw usageError(error.code, error.message, { cause: error });
  }
}

/** The same by its manifests alone: no file is looked at. @throws TokensieveError as `openDataSet` throws, `no-parts` */
export const findSource = (storage: Storage, path: string): Promise<DataSet> =>
  openDataSet(storage, path, {
    prefer: NEWEST_FIRST,
    around: true,
    nothing: { code: 'no-parts', advice: 'name a folder that tokensieve score, select or pack wrote' },
  });

async function checkSizes(storage: Storage, { folder, parts }: DataSet): Promise<void> {
  const look = async ({ manifest, file }: DataSetPart): Promise<void> => {
    const expected = manifest.outputs.find(({ kind }) => kind === 'sequences')?.bytes;
    const { size } = await storage.stat(file);
    if (size === expected) return;
    throw usageError(
      'part-changed',
      `${file}: has ${size} bytes, its manifest says ${expected}; run tokensieve verify ${folder}, then make the part again`,
    );
  };
  for await (const _ of mapAhead(parts, STATS_AHEAD, look));
}

function rulesOf({ folder, recipe: { rows } }: DataSet): RowRules {
  const found = neededFields(rows, rowFields);
  if ('problem' in found) {
    throw usageError(
      'not-trainable',
      `${folder}: its manifests do not tell how rows were made (recipe.scored.${found.problem}); score or pack the corpus again`,
    );
  }
  const { tokenizer, sequence } = found.fields;
  const { bosId, eosId } = rowEdges(rows);
  return {
    tokenizer: { hash: tokenizer.hash, bos: bosId, eos: eosId },
    length: sequence.length,
    attention: sequence.attention,
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
