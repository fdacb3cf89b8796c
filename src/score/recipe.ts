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
import type { ModelRole } from './role.js';
import type { Scoring } from './settings.js';

/** What a run turned out to be scored by. */
export interface ScoredBy {
  readonly tokenizer: Pick<Tokenizer, 'hash' | 'bosId' | 'eosId'>;
  readonly models: Readonly<Partial<Record<ModelRole, ModelInfo>>>;
  readonly compute: Pick<Compute, 'profile' | 'batchTokens'>;
  /** Of roles that an engine computes. */
  readonly engines?: Readonly<Partial<Record<ModelRole, JsonObject>>>;
  readonly versions?: RuleVersions;
  /** Ids that older rules name where BOS or EOS is switched off. */
  readonly unused?: Marked;
}

/** Settings and hashes in, the object that is fingerprinted out. How a run is carried out stays outside. */
export function recipeOf(
  pipeline: Scoring,
  { tokenizer, models, compute, engines = {}, versions = FIRST_VERSIONS, unused }: ScoredBy,
): Recipe {
  // Device, precision and engine are in the profile as they turned out.
  const {
    device: _,
    precision: __,
    engine: ___,
    reference_engine: ____,
    current_engine: _____,
    compile: ______,
    ...score
  } = pipeline.score;
  const roles = Object.keys(models) as ModelRole[];
  return {
    semantics: { ...versions },
    ...rowsRecipe(pipeline, tokenizer, unused),
    models: {
      reference: models.reference?.hash ?? null,
      current: models.current?.hash ?? null,
    },
    score: { ...score, batch_tokens: compute.batchTokens },
    numeric_profile:
      Object.keys(engines).length === 0
        ? compute.profile
        : Object.fromEntries(roles.map((role) => [role, engines[role] ?? compute.profile])),
  };
}

/** The conventions on which implementations disagree, for the files' metadata (docs/conventions.md). */
export function scoringConventions(pipeline: Scoring, tokenizer: Marks): JsonObject {
  return {
    loss: 'nats; entry i belongs to token i, given the tokens before it in its row; NaN where there is none',
    ...rowConventions(pipeline.sequence, tokenizer),
  };
}
