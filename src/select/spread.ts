import { elementsOf } from './elements.js';
import type { Plan } from './method.js';
import type { PartSource } from './part-source.js';
import { countOnes, NO_FLAGS } from './ranking.js';

/** A score that every eligible token (or unit) of the data set has. */
export interface ConstantScore {
  readonly value: number;
  readonly eligible: number;
}

/**
 * Looks whether each of the plan's signals takes at least two values, and stops reading as soon as all do:
 * the first batch of a normal data set, the whole of one that is going to be refused. Returns the first
 * signal that never changes. One eligible token is not a constant: there is nothing it could differ from.
 */
export async function findConstantScore(
  parts: readonly PartSource[],
  plan: Plan,
  method: string,
): Promise<ConstantScore | null> {
  const signals = plan.unit === 'token' ? plan.signals.length : 1;
  const first = new Array<number | null>(signals).fill(null);
  const varies = new Array<boolean>(signals).fill(false);
  let eligible = 0;
  if (signals === 0) return null;
  for (const part of parts) {
    for await (const elements of elementsOf(part, plan, method, 'signals')) {
      eligible += countOnes(elements[0]?.eligible ?? NO_FLAGS);
      elements.forEach((chunk, s) => {
        for (let i = 0; i < chunk.scores.length && varies[s] === false; i++) {
          if (chunk.eligible[i] === 0) continue;
          const score = chunk.scores[i] ?? Number.NaN;
          if (first[s] === null) first[s] = score;
          else if (first[s] !== score) varies[s] = true;
        }
      });
      if (varies.every(Boolean)) return null;
    }
  }
  const value = first[varies.indexOf(false)] ?? null;
  return value === null || eligible < 2 ? null : { value, eligible };
}
