import type { JsonObject } from '../json/canonical-json.js';
import type { ModelInfo } from '../model/prepared-model.js';
import type { PackSettings } from '../pack/settings.js';
import { FIRST_VERSIONS, type Stage } from '../rules/changes.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { Compute } from './compute.js';
import type { ModelRole } from './scorer.js';
import type { Scoring } from './settings.js';

/** Versions of the rules that a run is made by (src/rules): parts of other versions are never mixed with its own. */
export type RuleVersions = Readonly<Record<Stage, number>>;

/** Everything but the input that determines the bytes of a scored part, as plain JSON. */
export type Recipe = JsonObject;

type Marked = Pick<Tokenizer, 'bosId' | 'eosId'>;

const NONE: Marked = { bosId: null, eosId: null };

/**
 * Pure: settings and hashes in, the object that is fingerprinted out. How a run is carried out stays outside.
 * @param unused ids that older rules name where BOS or EOS is switched off
 */
export function recipeOf(
  pipeline: Scoring,
  tokenizer: Pick<Tokenizer, 'hash' | 'bosId' | 'eosId'>,
  models: Readonly<Partial<Record<ModelRole, ModelInfo>>>,
  { profile, batchTokens }: Pick<Compute, 'profile' | 'batchTokens'>,
  versions: RuleVersions = FIRST_VERSIONS,
  unused: Marked = NONE,
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

/** The same for a packed part: no model, no numeric profile. */
export function packingRecipe(
  settings: PackSettings,
  tokenizer: Pick<Tokenizer, 'hash' | 'bosId' | 'eosId'>,
  versions: RuleVersions = FIRST_VERSIONS,
  unused: Marked = NONE,
): Recipe {
  const { scoring: _, ...semantics } = versions;
  return { semantics, ...rowsRecipe(settings, tokenizer, unused), compression: settings.compression };
}

/** How text becomes rows. */
type RowSettings = Pick<Scoring, 'corpus' | 'tokenizer' | 'sequence'>;

function rowsRecipe(
  { corpus, tokenizer, sequence }: RowSettings,
  { hash, bosId, eosId }: Pick<Tokenizer, 'hash' | 'bosId' | 'eosId'>,
  unused: Marked,
): Recipe {
  // Spelled as it always was, so that runs that no change of the rules touches keep their fingerprint: what is put around a
  // document are the ids, but for one that `sequence` switches off.
  return {
    corpus,
    tokenizer: {
      hash,
      bos_id: sequence.bos === false ? unused.bosId : bosId,
      eos_id: sequence.eos === false ? unused.eosId : eosId,
      control_tokens: tokenizer.control_tokens,
    },
    sequence: {
      ...sequence,
      bos: sequence.bos ?? true,
      eos: sequence.eos ?? true,
      overlap: overlapOf(sequence),
    },
  };
}

/** Context that windows of a long document repeat: a quarter of the length unless it is set. */
export function overlapOf({ overlap, length }: Scoring['sequence']): number {
  return overlap ?? Math.max(1, length >> 2);
}

/** The conventions on which implementations disagree, for the files' metadata (docs/conventions.md). */
export function scoringConventions(pipeline: Scoring, tokenizer: Marks): JsonObject {
  return {
    loss: 'nats; entry i belongs to token i, given the tokens before it in its row; NaN where there is none',
    ...rowConventions(pipeline.sequence, tokenizer),
  };
}

export function packingConventions({ sequence }: PackSettings, tokenizer: Marks): JsonObject {
  return {
    method: 'clm',
    weight: '1 where the token is a target, else 0',
    normaliser: 'sum-of-weights',
    ...rowConventions(sequence, tokenizer),
  };
}

/** What goes around documents, and by whose word. */
type Marks = Pick<Tokenizer, 'bosId' | 'eosId' | 'bosSource' | 'eosSource'>;

function rowConventions(
  sequence: Scoring['sequence'],
  { bosId, eosId, bosSource, eosSource }: Marks,
): JsonObject {
  const { packing, attention, length } = sequence;
  return {
    packing,
    attention,
    row_stride: packing === 'packed' ? length - 1 : null,
    overlap: packing === 'document' ? overlapOf(sequence) : null,
    bos_id: bosId,
    bos_source: bosSource,
    eos_id: eosId,
    eos_source: eosSource,
    bos_eligible: false,
    eos_eligible: sequence.eos_eligible,
  };
}
