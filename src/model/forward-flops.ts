import type { ModelInfo } from './prepared-model.js';

/** Floating-point operations a token of a forward pass over rows of `length` ids. */
export function forwardFlops(info: Pick<ModelInfo, 'flopsPerToken'>, length: number): number {
  return info.flopsPerToken.matmul + info.flopsPerToken.attentionPerContextToken * length;
}
