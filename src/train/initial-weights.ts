/** First weights of a model from scratch. */
import { philox4x32, philoxKey } from '../numbers/philox.js';
import { elementsOf, emptyVectors, type Parameter, type ParameterVectors } from './parameters.js';

export interface InitialRule {
  /** Standard deviation of matrices and embeddings: config.json's `initializer_range`. */
  readonly deviation: number;
  /** Layers, for GPT-2's scaled residual projections; null for the others. */
  readonly residualLayers: number | null;
}

/**
 * As transformers initialises: matrices normal, norms one, biases zero; GPT-2 divides the projections back into the
 * residual stream by √(2·layers) (Radford et al. 2019). Draws are keyed by (seed, name, element).
 */
export function initialWeights(
  parameters: readonly Parameter[],
  seed: number,
  { deviation, residualLayers }: InitialRule,
): ParameterVectors {
  const vectors = emptyVectors(parameters);
  for (const parameter of parameters) {
    const elements = elementsOf(vectors, parameter);
    if (parameter.shape.length >= 2) {
      const scaled = residualLayers !== null && parameter.name.endsWith('c_proj.weight');
      fillNormal(
        elements,
        seed,
        parameter.name,
        scaled ? deviation / Math.sqrt(2 * residualLayers) : deviation,
      );
    } else if (!parameter.name.endsWith('bias')) elements.fill(1);
  }
  return vectors;
}

/** Box and Muller 1958, in double precision, from pairs of 32-bit words. */
function fillNormal(out: Float32Array, seed: number, name: string, deviation: number): void {
  const key = philoxKey(seed, `initial weights\n${name}`);
  const words = new Uint32Array(4);
  const unit = 2 ** -32;
  for (let at = 0; at < out.length; at += 4) {
    philox4x32(at / 4, 0, 0, 0, key, words, 0);
    for (let pair = 0; pair < 2; pair++) {
      const u = ((words[2 * pair] ?? 0) + 0.5) * unit;
      const angle = 2 * Math.PI * ((words[2 * pair + 1] ?? 0) + 0.5) * unit;
      const radius = deviation * Math.sqrt(-2 * Math.log(u));
      if (at + 2 * pair < out.length) out[at + 2 * pair] = radius * Math.cos(angle);
      if (at + 2 * pair + 1 < out.length) out[at + 2 * pair + 1] = radius * Math.sin(angle);
    }
  }
}
