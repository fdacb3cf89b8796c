/** The run that losses are imported into: packed parts, or scored ones. */
import { z } from 'zod';
import { type FinishedPart, readParts } from '../dataset/finished-parts.js';
import { MANIFEST_SUFFIX } from '../dataset/manifest.js';
import { packedFolder, scoredFolder } from '../dataset/part-files.js';
import { LOSS_COLUMNS } from '../dataset/schema.js';
import type { TokenColumn } from '../dataset/sequence-batch.js';
import { usageError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import { compressionOf } from '../pack/recipe.js';
import { unfinishedRun } from '../parts/unfinished.js';
import { openScored } from '../select/scored-parts.js';
import { absolutePath, folderOf, nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { AlignRules } from './align.js';
import type { ImportSettings } from './settings.js';

export interface ImportTarget {
  /** The run's output folder. */
  readonly run: string;
  /** Of the parts. */
  readonly folder: string;
  readonly kind: 'packed' | 'scored';
  readonly parts: readonly FinishedPart[];
  readonly recipe: JsonObject;
  readonly rows: Pick<AlignRules, 'bosId' | 'overlap'>;
  /** Columns with losses and entropies that the run has; none of packed ones. */
  readonly losses: readonly TokenColumn[];
  /** The column that tells targets. */
  readonly targetColumn: TokenColumn;
  readonly compression: 'none' | 'zstd' | 'lz4';
}

const recipeSchema = z.object({
  tokenizer: z.object({ bos_id: z.int().nullable() }),
  sequence: z.object({
    packing: z.enum(['packed', 'document']),
    overlap: z.int().min(1),
    bos: z.boolean(),
  }),
});

/**
 * Opens what `run` names: its scored parts if it has any, else the packed ones; or such a folder.
 * @param warn is told of what was chosen where there was a choice, and of a run that is not finished
 * @throws TokensieveError (usage) `nothing-to-import-into`; and as `readParts` throws
 */
export async function openTarget(
  storage: Storage,
  { run, out }: Pick<ImportSettings, 'run' | 'out'>,
  warn: (message: string) => void,
): Promise<ImportTarget> {
  // What was imported into the run's own folder before is the output, not the target.
  const isOwn = (folder: string): boolean => absolutePath(folder) === absolutePath(scoredFolder(out));
  const packed = await storage.list(packedFolder(run));
  const scored = scoredFolder(run);
  const candidates = [...(isOwn(scored) && packed.length > 0 ? [] : [scored]), packedFolder(run), run];
  for (const folder of candidates) {
    const listed = await storage.list(folder);
    const manifests = listed.filter((path) => path.endsWith(MANIFEST_SUFFIX));
    if (manifests.length === 0) continue;
    if (folder === scored && packed.length > 0) {
      warn(`${run}: has scored and packed parts; the scored ones are taken`);
    }
    const parts = await readParts(storage, folder, manifests);
    const unfinished = await unfinishedRun(storage, folder, listed, parts);
    if (unfinished !== null) warn(unfinished);
    const [first] = parts;
    if (first === undefined) break;
    const { kind, recipe } = first.manifest;
    if (kind === 'weighted') {
      throw usageError(
        'nothing-to-import-into',
        `${folder}: holds weighted parts, whose weights would no longer be those of their losses; name a packed or scored run, and select again`,
      );
    }
    const parsed = recipeSchema.safeParse(recipe);
    if (!parsed.success) {
      throw usageError(
        'nothing-to-import-into',
        `${folder}: its manifests do not tell how rows were made (recipe.${parsed.error.issues[0]?.path.join('.')}); pack or score the corpus again`,
      );
    }
    const { tokenizer, sequence } = parsed.data;
    const { columns } = await openScored(storage, first);
    const losses = columns.filter((name) => name !== 'weight');
    const isInRun = folder !== run || ['scored', 'packed'].includes(nameOf(absolutePath(folder)));
    return {
      run: folder === run && isInRun ? folderOf(absolutePath(folder)) : run,
      folder,
      kind,
      parts,
      recipe: recipe as JsonObject,
      rows: {
        bosId: sequence.bos ? tokenizer.bos_id : null,
        overlap: sequence.packing === 'packed' ? 1 : sequence.overlap,
      },
      losses,
      targetColumn: LOSS_COLUMNS.find((name) => columns.includes(name)) ?? 'weight',
      compression: compressionOf(recipe as JsonObject),
    };
  }
  throw usageError(
    'nothing-to-import-into',
    `${run}: no finished parts (*${MANIFEST_SUFFIX}) here, in scored/ or in packed/; name the --out folder of tokensieve pack or score`,
  );
}
