import { usageError } from '../errors.js';
import type { Method } from './method.js';
import { band } from './methods/band.js';
import { clm } from './methods/clm.js';
import { dft } from './methods/dft.js';
import { domainWeightsMethod } from './methods/domain-weights.js';
import { esl } from './methods/esl.js';
import { miniplm } from './methods/miniplm.js';
import { random } from './methods/random.js';
import { referenceEntropy } from './methods/reference-entropy.js';
import { referenceIntersection } from './methods/reference-intersection.js';
import { referenceLoss } from './methods/reference-loss.js';
import { referenceUnion } from './methods/reference-union.js';
import { rhoLoss } from './methods/rho-loss.js';
import { sampled } from './methods/sampled.js';
import { slm } from './methods/slm.js';
import { soft } from './methods/soft.js';
import { threshold } from './methods/threshold.js';

/** Every method that comes with the package. A new one is a file and a line here. */
export const METHODS: readonly Method[] = [
  slm,
  referenceLoss,
  referenceEntropy,
  referenceIntersection,
  referenceUnion,
  threshold,
  random,
  clm,
  band,
  sampled,
  esl,
  dft,
  soft,
  rhoLoss,
  miniplm,
  domainWeightsMethod,
];

/** @throws usage `unknown-method` */
export function methodNamed(name: string): Method {
  const method = METHODS.find((known) => known.name === name);
  if (method !== undefined) return method;
  throw usageError(
    'unknown-method',
    `method "${name}" is unknown; expected one of ${METHODS.map((known) => known.name).join(', ')}, or the path of a .js file with your own`,
  );
}
