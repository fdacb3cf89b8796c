import type { ExportSettings } from './settings.js';
import type { ExportSource } from './source.js';

/** What a trainer may do with these files without a word that would train on other losses than were scored: a line each. Pure. */
export function cautionsOf(
  { to, documents, labels, threshold, header }: ExportSettings,
  { parts, kind, rules }: ExportSource,
): string[] {
  const found: string[] = [];
  const isOfFractions =
    threshold === undefined &&
    kind === 'weighted' &&
    parts.some(({ manifest: { counts } }) => counts.kept !== counts.weight_sum);
  if (to === 'hf' && isOfFractions && labels === 'kept')
    found.push(
      'weights are fractions, which stand in loss_weights alone: a trainer that reads labels trains on every token of weight above 0 alike; use a loss that multiplies by loss_weights (SelectiveTrainer), or --threshold',
    );
  if (to === 'hf' && labels === 'eligible' && kind === 'weighted')
    found.push(
      'labels are of every target, for live selection: a trainer that does not rank, or multiply by loss_weights, trains on all of them',
    );
  if (to === 'nanogpt' && header !== 'none' && kind === 'weighted')
    found.push(
      'readers of files with a header (llm.c, modded-nanogpt, NeMo AutoModel) know ids alone and train on every token; weights are in the sidecar, for a loop that reads it',
    );
  if (rules.attention !== 'within') return found;
  if (to === 'hf' && documents === 'together')
    found.push(
      'documents of a row do not see each other by position_ids alone: trainers that drop the column (TRL’s SFTTrainer) or pack rows anew train on other losses; for these, --documents apart',
    );
  if (STREAMS.has(to))
    found.push(
      `losses were computed with documents not seeing each other, and ${to} is a stream: its trainer must mask attention by document (docs/exports.md), or trains on other losses`,
    );
  return found;
}

const STREAMS: ReadonlySet<ExportSettings['to']> = new Set(['nanogpt', 'olmo', 'datatrove', 'megatron']);
