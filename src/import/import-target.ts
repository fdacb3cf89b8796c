/** The run that losses are imported into: packed parts, or scored ones. */
import { z } from 'zod';
import { columnsOf, type DataSet, openDataSet } from '../dataset/data-set.js';
import { packedFolder, scoredFolder } from '../dataset/part-files.js';
import { neededFields, rowEdges, sequenceSection, tokenizerSection } from '../dataset/recipe.js';
import type { LossColumn } from '../dataset/sequence-batch.js';
import { usageError } from '../errors.js';
import { unfinishedRun } from '../parts/unfinished.js';
import type { Storage } from '../storage/storage.js';
import type { AlignRules } from './align.js';
import type { ImportSettings } from './settings.js';

export interface ImportTarget extends DataSet {
  readonly kind: 'packed' | 'scored';
  readonly rows: Pick<AlignRules, 'bosId' | 'overlap'>;
  /** Columns with losses and entropies that the run has; none of packed ones. */
  readonly losses: readonly LossColumn[];
}

const rowFields = z.object({
  tokenizer: tokenizerSection.pick({ bos_id: true }),
  sequence: sequenceSection.pick({ packing: true, overlap: true, bos: true }),
});

/**
 * Opens what `run` names: its scored parts if it has any, else the packed ones; or such a folder.
 * @param warn is told of what was chosen where there was a choice, and of a run that is not finished
 * @throws TokensieveError (usage) `nothing-to-import-into`; and as `openDataSet` throws
 */
export async function openTarget(
  storage: Storage,
  { run, out }: Pick<ImportSettings, 'run' | 'out'>,
  warn: (message: string) => void,
): Promise<ImportTarget> {
  const set = await openDataSet(storage, run, {
    prefer: ['scored', 'packed'],
    // What was imported into the run's own folder before is the output, not the target.
    except: scoredFolder(out),
    nothing: { code: 'nothing-to-import-into', advice: 'name the --out folder of tokensieve pack or score' },
  });
  const { folder, kind, recipe } = set;
  if (folder === scoredFolder(run) && (await storage.list(packedFolder(run))).length > 0) {
    warn(`${run}: has scored and packed parts; the scored ones are taken`);
  }
  const unfinished = await unfinishedRun(storage, set);
  if (unfinished !== null) warn(unfinished);
  if (kind === 'weighted') {
    throw usageError(
      'nothing-to-import-into',
      `${folder}: holds weighted parts, whose weights would no longer be those of their losses; name a packed or scored run, and select again`,
    );
  }
  const found = neededFields(recipe.rows, rowFields);
  if ('problem' in found) {
    throw usageError(
      'nothing-to-import-into',
      `${folder}: its manifests do not tell how rows were made (recipe.${found.problem}); pack or score the corpus again`,
    );
  }
  const { repeats, bosId } = rowEdges(recipe.rows);
  const columns = await columnsOf(storage, set);
  return {
    ...set,
    kind,
    rows: { bosId, overlap: repeats },
    losses: columns.filter((name) => name !== 'weight'),
  };
}
