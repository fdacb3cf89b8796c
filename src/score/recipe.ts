/** What decides the bytes of scored parts. Pure. */
import type { JsonObject } from '../json/canonical-json.js';
import type { ModelInfo } from '../model/prepared-model.js';
import {
  type Marked,
  type Marks,
  type Recipe,
  type RuleVersions,
  rowConventions,
  rowsRecipe,
} from '../pack/recipe.js';
import { FIRST_VERSIONS } from '../rules/changes.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { Compute } from './compute.js';
import type { ModelRole } from './scorer.js';
import type { Scoring } from './settings.js';

/**
 * Settings and hashes in, the object that is fingerprinted out. How a run is carried out stays outside.
 * @param unused ids that older rules name where BOS or EOS is switched off
 */
export function recipeOf(
  pipeline: Scoring,
  tokenizer: Pick<Tokenizer, 'hash' | 'bosId' | 'eosId'>,
  models: Readonly<Partial<Record<ModelRole, ModelInfo>>>,
  { profile, batchTokens }: Pick<Compute, 'profile' | 'batchTokens'>,
  versions: RuleVersions = FIRST_VERSIONS,
  unused?: Marked,
): Recipe {
  // Device and precision are in the profile as they turned out.
  const { device: _, precision: __, ...score } = pipeline.score;
  return {
    semantics: { ...versions },
    ...rowsRecipe(pipeline, tokenizer, unused),
    models: {
      reference: models.reference?.hash ?? null,
      current: models.current?.hash ?? null,
    },
    score: { ...score, batch_tokens: batchTokens },
    numeric_profile: profile,
  };
}

/** The conventions on which implementations disagree, for the files' metadata (docs/conventions.md). */
export function scoringConventions(pipeline: Scoring, tokenizer: Marks): JsonObject {
  return {
    loss: 'nats; entry i belongs to token i, given the tokens before it in its row; NaN where there is none',
    ...rowConventions(pipeline.sequence, tokenizer),
  };
}
