/** How to open a session on a prepared model. */
import type { InferenceSession } from 'onnxruntime-node';
import type { Device, PreparedModel } from './prepared-model.js';

export interface SessionSettings {
  readonly device: Device;
  /** Threads that one operator may use. */
  readonly threads: number;
}

/** Options for `InferenceSession.create(prepared.graphPath, …)`. */
export function sessionOptions(
  prepared: Pick<PreparedModel, 'weightsFolder'>,
  { device, threads }: SessionSettings,
): InferenceSession.SessionOptions {
  return {
    executionProviders: [device],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    extra: {
      session: {
        model_external_initializers_file_folder_path: prepared.weightsFolder,
        set_denormal_as_zero: '1',
      },
    },
  };
}
