import type { StepMetrics } from './step-metrics.js';

/** What happens in a training run, for progress bars and logs. Everything is plain JSON. */
export type TrainEvent =
  | {
      readonly event: 'train-planned';
      readonly parameters: number;
      readonly steps: number;
      /** Steps that an earlier run has taken. */
      readonly done: number;
      readonly tokens_per_step: number;
    }
  | ({ readonly event: 'step' } & StepMetrics)
  | { readonly event: 'checkpoint'; readonly step: number; readonly folder: string }
  | { readonly event: 'note'; readonly message: string }
  | { readonly event: 'warning'; readonly message: string };

export type TrainSink = (event: TrainEvent) => void;
