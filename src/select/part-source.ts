import type { SequenceBatch } from '../dataset/sequence-batch.js';

/** Which part it is. */
export interface PartName {
  /** The shard's name: part of the key of every random draw. */
  readonly shard: string;
  readonly part: number;
}

export const partKey = ({ part, shard }: PartName): string => `${part} ${shard}`;

/**
 * A part of a scored data set. `batches()` may be called several times (methods with passes read a part more
 * than once) and each time gives the same rows in order; how they are cut into batches never matters.
 */
export interface PartSource extends PartName {
  batches(): AsyncIterable<SequenceBatch>;
  /** Domain of a document, by its row in the shard; null when it has none. Only `domain-weights` asks. */
  domainOf?(document: bigint): string | null;
}
