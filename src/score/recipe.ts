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

/** What a run turned out to be scored by. */
export interface ScoredBy {
  readonly tokenizer: Pick<Tokenizer, 'hash' | 'bosId' | 'eosId'>;
  readonly models: Readonly<Partial<Record<ModelRole, ModelInfo>>>;
  readonly compute: Pick<Compute, 'profile' | 'batchTokens'>;
  readonly versions?: RuleVersions;
  /** Ids that older rules name where BOS or EOS is switched off. */
  readonly unused?: Marked;
}

/** Settings and hashes in, the object that is fingerprinted out. How a run is carried out stays outside. */
export function recipeOf(
  pipeline: Scoring,
  { tokenizer, models, compute, versions = FIRST_VERSIONS, unused }: ScoredBy,
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
    score: { ...score, batch_tokens: compute.batchTokens },
    numeric_profile: compute.profile,
  };
}

/** The conventions on which implementations disagree, for the files' metadata (docs/conventions.md). */
export function scoringConventions(pipeline: Scoring, tokenizer: Marks): JsonObject {
  return {
    loss: 'nats; entry i belongs to token i, given the tokens before it in its row; NaN where there is none',
    ...rowConventions(pipeline.sequence, tokenizer),
  };
}
