/** Names below the output folder of a training run, beside `checkpoints` (`checkpoint.ts`). */
export const MODEL_FOLDER = 'model';
export const METRICS_FILE = 'metrics.jsonl';
export const TENSORBOARD_FOLDER = 'tensorboard';
export const REPORT_FILE = 'report.html';
