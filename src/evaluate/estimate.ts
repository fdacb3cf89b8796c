/** Means over tokens or bytes, with standard errors over documents. */

/** A figure and its standard error; null where nothing was seen, or too little to tell. */
export interface Estimate {
  readonly value: number | null;
  readonly stderr: number | null;
}

/** A ratio of sums, Σ y / Σ x, over clusters: documents, or the items of a task. */
export interface RatioOfSums {
  /** One cluster's sums, both finite; x is at least 0. */
  add(y: number, x: number): void;
  /**
   * m = Σ y / Σ x and its standard error with clusters as the unit of sampling (the linearised ratio estimator, as
   * in survey sampling): √(D / (D − 1) · Σ_d (y_d − m x_d)²) / Σ x. The tokens of a document are not independent; an
   * error over tokens would come out far too small.
   */
  estimate(): Estimate;
}

/**
 * Sums in float64, in one pass. Clusters are taken relative to the first one's ratio, so that the squares of
 * residuals are not differences of large numbers.
 */
export function ratioOfSums(): RatioOfSums {
  let origin: number | null = null;
  let clusters = 0;
  let sumX = 0;
  let sumR = 0;
  let squaresR = 0;
  let products = 0;
  let squaresX = 0;
  return {
    add(y, x) {
      if (x === 0 && y === 0) return;
      if (origin === null && x > 0) origin = y / x;
      // Clusters without x before the first that has one have residual y whatever the origin is.
      const r = y - (origin ?? 0) * x;
      clusters++;
      sumX += x;
      sumR += r;
      squaresR += r * r;
      products += r * x;
      squaresX += x * x;
    },
    estimate() {
      if (sumX === 0) return { value: null, stderr: null };
      const shift = sumR / sumX;
      const value = (origin ?? 0) + shift;
      if (clusters < 2) return { value, stderr: null };
      const residuals = Math.max(0, squaresR - 2 * shift * products + shift * shift * squaresX);
      return { value, stderr: Math.sqrt((clusters / (clusters - 1)) * residuals) / sumX };
    },
  };
}

/** e to the estimate; the error by the delta method, e^m · stderr(m). */
export function exponential({ value, stderr }: Estimate): Estimate {
  const raised = value === null ? null : Math.exp(value);
  return { value: raised, stderr: raised === null || stderr === null ? null : raised * stderr };
}

/** Loss of some text, over documents: the three figures and what they are over. */
export interface LossSummary {
  /** Documents, or items of a task. */
  readonly documents: number;
  /** Ids, BOS and EOS included. */
  readonly tokens: number;
  /** Tokens that have a loss. */
  readonly targets: number;
  /** UTF-8 bytes of the text that the targets spell. */
  readonly bytes: number;
  /** Mean over targets, nats. */
  readonly loss: Estimate;
  /** e to the mean loss. */
  readonly perplexity: Estimate;
  /** Σ loss / ln 2 / bytes. */
  readonly bitsPerByte: Estimate;
}

/** One document's or item's sums; `loss` is the sum over its targets, nats. */
export interface DocumentLoss {
  readonly tokens: number;
  readonly targets: number;
  readonly bytes: number;
  readonly loss: number;
}

export interface LossTally {
  add(document: DocumentLoss): void;
  summary(): LossSummary;
}

export function lossTally(): LossTally {
  const perTarget = ratioOfSums();
  const perByte = ratioOfSums();
  let documents = 0;
  let tokens = 0;
  let targets = 0;
  let bytes = 0;
  return {
    add(document) {
      documents++;
      tokens += document.tokens;
      targets += document.targets;
      bytes += document.bytes;
      perTarget.add(document.loss, document.targets);
      perByte.add(document.loss / Math.LN2, document.bytes);
    },
    summary() {
      const loss = perTarget.estimate();
      return {
        documents,
        tokens,
        targets,
        bytes,
        loss,
        perplexity: exponential(loss),
        bitsPerByte: perByte.estimate(),
      };
    },
  };
}

/** Mean of 0 and 1 over items, with lm-evaluation-harness's error: sample deviation / √n. */
export function shareOf(right: number, items: number): Estimate {
  if (items === 0) return { value: null, stderr: null };
  const value = right / items;
  return { value, stderr: items < 2 ? null : Math.sqrt((value * (1 - value)) / (items - 1)) };
}
