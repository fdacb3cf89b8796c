import type { RowsRecipe } from '../dataset/recipe.js';
import type { RunNotes } from '../dataset/run-notes.js';
import type { Audit } from './report.js';

/** The models that a recipe names by hash, with what the run's notes know of them. */
export function modelsOf(
  { models: hashes, numeric_profile: profile }: RowsRecipe,
  notes: RunNotes | null,
): Audit['models'] {
  return (['reference', 'current'] as const).flatMap((role) => {
    const hash = hashes[role];
    if (hash === undefined || hash === null) return [];
    const found = notes?.models.find((one) => one.role === role && one.hash === hash);
    return [
      {
        role,
        name: found?.folder ?? hash.slice(0, 12),
        hash,
        parameters: found === undefined ? null : Math.round(found.parameters),
        architecture: found?.architecture ?? null,
        precision: found?.weight_type ?? profile[role]?.precision ?? profile.precision ?? null,
        ...(profile[role]?.engine !== undefined && { engine: profile[role].engine }),
      },
    ];
  });
}

/** Floating-point operations of the models' forward passes over all tokens; null where a model's size is not known. */
export function scoringFlops(models: Audit['models'], notes: RunNotes | null, tokens: number): number | null {
  let total = 0;
  for (const { role, hash } of models) {
    const found = notes?.models.find((one) => one.role === role && one.hash === hash);
    if (found === undefined) return null;
    total += found.flops_per_token * tokens;
  }
  return models.length === 0 ? null : total;
}
