import type { LossColumn } from '../dataset/sequence-batch.js';
import type { ScoreName } from './settings.js';
import { columnOf, type Tokens } from './tokens.js';

interface NamedScore {
  readonly columns: readonly LossColumn[];
  /** Writes the fp32 score of every token; a `ScoreKernel` that reads nothing but columns. */
  readonly kernel: (tokens: Pick<Tokens, 'columns'>, out: Float32Array) => void;
  readonly formula: string;
}

const plain = (column: LossColumn): NamedScore => ({
  columns: [column],
  kernel: (tokens, out) => out.set(columnOf(tokens, column)),
  formula: column,
});

/** Low values are kept first: a self-reference method trusts what the reference finds easy. */
const negated = (column: LossColumn): NamedScore => ({
  columns: [column],
  kernel: (tokens, out) => {
    const values = columnOf(tokens, column);
    for (let i = 0; i < out.length; i++) out[i] = -(values[i] as number);
  },
  formula: `-${column}`,
});

/** L_Δ = L_θ − L_RM (Rho-1, section 2.2). The fp64 difference of two fp32 numbers, rounded once, is the fp32 one. */
export const excess: NamedScore = {
  columns: ['current_loss', 'reference_loss'],
  kernel: (tokens, out) => {
    const current = columnOf(tokens, 'current_loss');
    const reference = columnOf(tokens, 'reference_loss');
    for (let i = 0; i < out.length; i++) out[i] = (current[i] as number) - (reference[i] as number);
  },
  formula: 'fp32(current_loss) - fp32(reference_loss)',
};

export const scoreBy: Readonly<Record<ScoreName, NamedScore>> = {
  excess,
  'current-loss': plain('current_loss'),
  'current-entropy': plain('current_entropy'),
  'reference-loss': negated('reference_loss'),
  'reference-entropy': negated('reference_entropy'),
};
