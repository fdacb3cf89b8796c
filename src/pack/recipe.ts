/** What decides the bytes of packed parts, and of the rows of scored ones. Pure. */
import type { CorpusSettings } from '../corpus/settings.js';
import type { JsonObject } from '../json/canonical-json.js';
import { FIRST_VERSIONS } from '../rules/changes.js';
import type { Stage } from '../rules/rule-change.js';
import type { SequenceSettings } from '../sequence/settings.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { PackSettings } from './settings.js';

/** Versions of the rules that a run is made by (src/rules): parts of other versions are never mixed with its own. */
export type RuleVersions = Readonly<Record<Stage, number>>;

/** Everything but the input that determines the bytes of a part, as plain JSON. */
export type Recipe = JsonObject;

/** Marks that are put around documents, by id. */
export type Marked = Pick<Tokenizer, 'bosId' | 'eosId'>;

const NONE: Marked = { bosId: null, eosId: null };

/**
 * Settings and hashes in, the object that is fingerprinted out; no model, no numeric profile.
 * @param unused ids that older rules name where BOS or EOS is switched off
 */
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
export interface RowSettings {
  readonly corpus: CorpusSettings;
  readonly tokenizer: Pick<PackSettings['tokenizer'], 'control_tokens'>;
  readonly sequence: SequenceSettings;
}

export function rowsRecipe(
  { corpus, tokenizer, sequence }: RowSettings,
  { hash, bosId, eosId }: Pick<Tokenizer, 'hash' | 'bosId' | 'eosId'>,
  unused: Marked = NONE,
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
export function overlapOf({ overlap, length }: Pick<SequenceSettings, 'overlap' | 'length'>): number {
  return overlap ?? Math.max(1, length >> 2);
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
export type Marks = Pick<Tokenizer, 'bosId' | 'eosId' | 'bosSource' | 'eosSource'>;

/** Conventions of rows on which implementations disagree, for the files' metadata (docs/conventions.md). */
export function rowConventions(
  sequence: SequenceSettings,
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
