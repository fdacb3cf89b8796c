/** What one optimiser step reports: a line of metrics.jsonl. Losses are means in nats over the step's tokens. */
export interface StepMetrics {
  /** Steps taken, this one included: 1, 2, … */
  readonly step: number;
  /** Targets (eligible tokens) seen so far, this step included. */
  readonly tokens: number;
  /** Mean loss of all eligible tokens; null where the step did not compute it (frozen weights may leave tokens out). */
  readonly loss: number | null;
  /** Σ w·L / Σ w: what is minimised; null where the step kept no token, and moved nothing. */
  readonly loss_selected: number | null;
  /** Mean loss of eligible tokens of weight 0; null when there are none. */
  readonly loss_unselected: number | null;
  readonly eligible: number;
  /** Tokens of weight above 0. */
  readonly kept: number;
  /** Global norm of the gradient before clipping; null where loss scaling skipped the step, or it kept no token. */
  readonly gradient_norm: number | null;
  readonly learning_rate: number;
  /** With loss scaling: the step's scale, and the steps skipped so far, this one included. */
  readonly loss_scale?: number;
  readonly skipped_steps?: number;
  /** Steps so far that kept no token, this one included; absent where there was none. */
  readonly empty_steps?: number;
  /** Held-out mean losses by name, at the steps that measure them. */
  readonly held_out?: Readonly<Record<string, number>>;
  /** Of this run: not the same after a resume, and in no hash. */
  readonly seconds: number;
  readonly tokens_per_second: number;
}
