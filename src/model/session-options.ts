/** How to open a session on a prepared model. */
import type { InferenceSession } from '../onnx/runtime.js';
import type { Device, PreparedModel } from './prepared-model.js';

export interface SessionSettings {
  readonly device: Device;
  /** Threads that one operator may use. */
  readonly threads: number;
  /** The card, for CUDA; default the first. */
  readonly card?: number;
  /** Let nodes without a CUDA kernel run on the CPU: only to ask which they are. */
  readonly mayFallBack?: boolean;
}

/**
 * Options for `InferenceSession.create(prepared.graphPath, …)`. On CUDA every node must have a kernel there: the session
 * is refused otherwise, since a node on the CPU would cost two copies and a wait for each batch without a word.
 */
export function sessionOptions(
  prepared: Pick<PreparedModel, 'weightsFolder'>,
  { device, threads, card = 0, mayFallBack = false }: SessionSettings,
): InferenceSession.SessionOptions {
  return {
    executionProviders: device === 'cuda' ? [{ name: device, deviceId: card }] : [device],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    extra: {
      session: {
        model_external_initializers_file_folder_path: prepared.weightsFolder,
        set_denormal_as_zero: '1',
        ...(device === 'cuda' && !mayFallBack && { disable_cpu_ep_fallback: '1' }),
      },
    },
  };
}
