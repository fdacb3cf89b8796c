import { diagnose, enoughTokens } from '../../select/diagnosis/diagnose.js';
import { createExcessTally } from '../../select/diagnosis/excess-figures.js';
import { type MethodTraits, NO_METHOD } from '../../select/diagnosis/method-traits.js';
import { columnOfDocument } from './document.js';
import type { ScoreResponse } from './schemas.js';
import type { ScoredDocument } from './weights.js';

/** What speaks against a selection over the texts of one request. */
export interface TextDiagnosis {
  /** @param weights [tokens of the document] */
  add(text: ScoredDocument, weights: Float32Array | undefined): void;
  conclude(): NonNullable<ScoreResponse['diagnosis']>;
}

/** @param method of the selection; without one the pair is judged as if the texts were selected from by excess */
export function openDiagnosis(method: MethodTraits = NO_METHOD): TextDiagnosis {
  const tally = createExcessTally();
  return {
    add({ document, scored }, weights) {
      tally.add(
        columnOfDocument(document, scored, (row) => row.reference?.loss),
        columnOfDocument(document, scored, (row) => row.current?.loss),
        weights,
      );
    },
    conclude() {
      const excess = tally.figures();
      return {
        tokens: excess?.tokens ?? 0,
        enough: enoughTokens(excess),
        findings: diagnose({ excess, groups: [], method }),
      };
    },
  };
}
