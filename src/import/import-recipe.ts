/** What decides the bytes of an imported part. Pure. */

import type { FinishedPart } from '../dataset/finished-parts.js';
import { digestOf } from '../dataset/manifest.js';
import type { LossColumn } from '../dataset/sequence-batch.js';
import { hashJson, type JsonObject } from '../json/canonical-json.js';
import { expectedOf } from '../parts/derived-job.js';
import type { ExpectedPart } from '../parts/manifests.js';
import { FIRST_VERSIONS } from '../rules/changes.js';
import type { ImportTarget } from './import-target.js';
import type { ImportSettings } from './settings.js';

/** Everything but the run's own parts that determines the bytes of an imported part. */
export function importRecipe(
  settings: ImportSettings,
  { recipe, losses, kind }: ImportTarget,
  sources: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[],
): JsonObject {
  const { run: _, out: __, losses: ___, model_name, ...rest } = settings;
  const files = sources.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }));
  const { models: _models, semantics: _semantics, import: before, ...rows } = recipe.json;
  const { models, semantics } = recipe.rows;
  const known = (role: 'reference' | 'current') =>
    losses.includes(`${role}_loss`) ? (models[role] ?? null) : null;
  const own = hashJson({ model_name, sources: files });
  return {
    ...rows,
    semantics: { ...semantics, importing: 1, writing: FIRST_VERSIONS.writing },
    models: {
      reference: settings.as === 'reference' ? own : known('reference'),
      current: settings.as === 'current' ? own : known('current'),
    },
    // Defaults that were not given stay out of it: undefined is not JSON.
    import: {
      ...(JSON.parse(JSON.stringify(rest)) as JsonObject),
      model_name,
      sources: files,
      into: { kind, recipe: hashJson(recipe.json) },
      ...(before !== undefined && losses.includes(otherLoss(settings.as)) && { before }),
    },
  };
}

const otherLoss = (role: ImportSettings['as']): LossColumn =>
  role === 'reference' ? 'current_loss' : 'reference_loss';

/** What the manifest of a part must say to be the import's: its recipe, and the very rows that it was laid over. */
export const expectedImport = (part: FinishedPart, recipe: JsonObject): ExpectedPart =>
  expectedOf(
    part,
    recipe,
    hashJson({
      recipe,
      part: part.manifest.part,
      into: part.manifest.fingerprint,
      digest: digestOf(part.manifest, 'sequences') ?? null,
    }),
  );
