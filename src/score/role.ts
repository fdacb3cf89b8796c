import type { Batch } from './batches.js';
import type { BatchLosses } from './session.js';

/** Which of the two models of a run (Rho-1, eq. 3). */
export type ModelRole = 'reference' | 'current';

/** What answers for one model, or for several at once. */
export interface RoleSession {
  score(batch: Batch): Promise<Readonly<Partial<Record<ModelRole, BatchLosses>>>>;
  close(): Promise<void>;
}
