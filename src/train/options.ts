import type { Device } from '../model/prepared-model.js';
import type { Storage } from '../storage/storage.js';
import type { TrainSink } from './events.js';
import type { TrainSettings } from './settings.js';

/** What a training run is given besides its settings. */
export interface TrainOptions {
  readonly storage: Storage;
  readonly sink: TrainSink;
  /** Raised, the run writes a checkpoint and ends. */
  readonly signal: AbortSignal;
  /** A run of other settings or data in the same folder is removed instead of refused. */
  readonly replace?: boolean;
}

/** On a GPU the state crosses the bus once a call; on the CPU it is copied, which is next to nothing. */
export const stepsPerCall = (settings: TrainSettings, device: Device): number =>
  settings.run.steps_per_call ?? (device === 'cpu' ? 1 : 16);
