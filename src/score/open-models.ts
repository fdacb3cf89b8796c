/** The one opener of models: of a scoring run, of an evaluation, of a pair that the service scores texts with. */
import { availableParallelism } from 'node:os';
import { settleTf32, usesTf32 } from '../device/tf32.js';
import type { Device } from '../model/prepared-model.js';
import type { AttentionScope } from '../sequence/packing.js';
import { type BatchRules, MIXED_WINDOW_BATCHES } from './batches.js';
import { type ModelInputs, type ModelRequest, openModelInputs } from './open-inputs.js';
import { openScorer, type Scorer } from './scorer.js';

/** Which of several scorers in one process is opened, and how it shares the machine with them. */
export interface ScorerPlace {
  /** Scorers at work at once. */
  readonly lanes?: number;
  /** Threads a session; 0 shares the cores out evenly. */
  readonly threads: number;
  readonly card?: number;
  /** One model at a time instead of both at once. */
  readonly inTurns?: boolean;
}

/** Tokenizer and models, checked against each other, and how they are asked. */
export interface OpenModels extends ModelInputs {
  readonly device: Device;
  /** Rules of their batches: of rows of mixed lengths unless all have one. */
  batchRules(
    rows: { readonly length: number; readonly attention: AttentionScope },
    windowBatches?: number,
  ): BatchRules;
  /**
   * Loads the weights into sessions.
   * @throws TokensieveError (fatal) `model-changed` where a file is no longer the one that was hashed
   */
  openScorer(place: ScorerPlace): Promise<Scorer>;
  /**
   * Looks at the files of the models again: to be asked before what was computed is written.
   * @throws TokensieveError (fatal) `model-changed`
   */
  look(): Promise<void>;
}

/** @throws TokensieveError as `openModelInputs` does */
export async function openModels(request: ModelRequest, device: Device): Promise<OpenModels> {
  const inputs = await openModelInputs(request, device);
  const { models, roles, compute } = inputs;
  const look = async (): Promise<void> => {
    for (const role of roles) await models[role]?.watch.look();
  };
  return {
    ...inputs,
    device,
    batchRules: ({ length, attention }, windowBatches = MIXED_WINDOW_BATCHES) => ({
      batchTokens: compute.batchTokens,
      length,
      attention,
      windowBatches,
      fixedRows: device !== 'cpu',
      fixedLength: compute.batch !== null,
    }),
    look,
    async openScorer({ lanes = 1, threads, card = 0, inTurns = false }) {
      if (device === 'cuda') settleTf32(usesTf32(compute.precision));
      const share = Math.max(1, Math.floor(availableParallelism() / (lanes * roles.length)));
      const scorer = await openScorer({ models, device, threads: threads || share, card, inTurns }).catch(
        async (error: unknown) => {
          // What cannot be opened may be what somebody else is writing just now. A file that is gone is what the error says.
          const changed: unknown = await look().catch((found: unknown) => found);
          throw changed instanceof Error && changed.cause === undefined ? changed : error;
        },
      );
      try {
        await look();
      } catch (error) {
        await scorer.close();
        throw error;
      }
      return scorer;
    },
  };
}
