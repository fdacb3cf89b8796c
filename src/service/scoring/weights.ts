import type { LossColumn } from '../../dataset/sequence-batch.js';
import { TokensieveError } from '../../errors.js';
import { toSequenceBatch } from '../../score/columns.js';
import type { ModelRole } from '../../score/role.js';
import type { ScoredSequence } from '../../score/scorer.js';
import { type MethodTraits, methodTraits } from '../../select/diagnosis/method-traits.js';
import type { PartSource } from '../../select/part-source.js';
import { createSelection, type Selection } from '../../select/selection.js';
import { selectionSettings } from '../../select/settings.js';
import { columnOfDocument, type ScoringDocument } from './document.js';
import { Refusal } from './refusal.js';
import type { ScoreSelection } from './schemas.js';

/** What the rows of a pair hold. */
export interface PairColumns {
  readonly roles: readonly ModelRole[];
  readonly entropy: boolean;
}

/** A selection over the texts of one request. */
export interface RequestWeights {
  readonly traits: MethodTraits;
  /** Weights of every text, [tokens of its document], 0 where a token has no loss. */
  weigh(texts: readonly ScoredDocument[]): Promise<Float32Array[]>;
}

export interface ScoredDocument {
  readonly document: ScoringDocument;
  readonly scored: readonly ScoredSequence[];
}

const SCOPES = { text: 'shard', request: 'dataset', sequence: 'sequence' } as const;

/**
 * Prepares a selection, before anything is scored.
 * @throws Refusal 400 where the settings do not fit the method, or the method needs what the pair does not give
 */
export function requestWeights(select: ScoreSelection, pair: PairColumns): RequestWeights {
  const selection = refused(400, () => {
    const { scope, ...settings } = select;
    const known = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
    return createSelection(selectionSettings.parse({ ...known, scope: SCOPES[scope] }));
  });
  const missing = selection.plan.columns.find((column) => !has(pair, column));
  if (missing !== undefined) {
    const what = missing.replace('_', ' ');
    throw new Refusal(
      400,
      'missing-column',
      `method ${select.method} needs the ${what}, which this pair does not give; choose another method or another pair`,
    );
  }
  return {
    traits: methodTraits(selection.conventions),
    async weigh(texts) {
      try {
        if (select.scope === 'request') return await weighTogether(selection, texts, pair);
        const weights: Float32Array[] = [];
        for (const [index, text] of texts.entries()) {
          weights.push(...(await weighTogether(selection, [text], pair).catch(named(`text ${index}`))));
        }
        return weights;
      } catch (error) {
        throw asRefusal(422, error);
      }
    },
  };
}

const has = ({ roles, entropy }: PairColumns, column: LossColumn): boolean => {
  const [role, kind] = column.split('_') as [ModelRole, 'loss' | 'entropy'];
  return roles.includes(role) && (kind === 'loss' || entropy);
};

const named =
  (place: string) =>
  (error: unknown): never => {
    if (!(error instanceof TokensieveError)) throw error;
    throw new TokensieveError(error.reach, error.code, `${place}: ${error.message}`, { cause: error });
  };

/** Ranks these texts with each other. Each is a part; the name and number of a part key the random draws. */
async function weighTogether(
  selection: Selection,
  texts: readonly ScoredDocument[],
  { roles, entropy }: PairColumns,
): Promise<Float32Array[]> {
  const parts = texts.map(({ scored }, part): PartSource => {
    const batch = toSequenceBatch(scored, roles, entropy);
    return {
      shard: 'request',
      part,
      async *batches() {
        yield batch;
      },
    };
  });
  const prepared = await selection.prepare(parts);
  const weights: Float32Array[] = [];
  for (const [index, { document, scored }] of texts.entries()) {
    const part = parts[index];
    if (part === undefined) continue;
    const rows = new Map<ScoredSequence, Float32Array>();
    for await (const weighted of selection.weigh(part, prepared).batches) {
      scored.forEach((row, r) => {
        const [from, to] = [weighted.batch.offsets[r] ?? 0, weighted.batch.offsets[r + 1] ?? 0];
        rows.set(row, weighted.weights.subarray(from, to));
      });
    }
    const column = columnOfDocument(document, scored, (row) => rows.get(row));
    weights.push(column.map((weight) => (Number.isNaN(weight) ? 0 : weight)));
  }
  return weights;
}

function refused<T>(status: number, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw asRefusal(status, error);
  }
}

const asRefusal = (status: number, error: unknown): unknown =>
  error instanceof TokensieveError
    ? new Refusal(status, error.code, error.message, undefined, { cause: error })
    : error;
