import { z } from 'zod';
import { withShorthand } from '../config/shorthand.js';

/**
 * The one definition of a training run: types, defaults, the flags of `tokensieve train` (`meta.flag`), and
 * schemas/train.json. Everything but `run` decides the weights that come out and is hashed into the checkpoint.
 */

/** A folder of scored, weighted or packed files, and its share of the rows drawn. */
const source = z.strictObject({
  path: z.string().min(1).meta({ description: 'Folder of scored, weighted or packed Arrow files' }),
  ratio: z
    .number()
    .positive()
    .max(1e6)
    .default(1)
    .meta({ description: 'Share of the rows, relative to the others' }),
});

/** `PATH` or `PATH=RATIO`. */
const sourceOrText = withShorthand(source, z.string().min(1), (value) => {
  if (typeof value !== 'string') return value;
  const [, path, ratio] = /^(.+)=(\d+(?:\.\d+)?)$/.exec(value) ?? [];
  return path === undefined ? { path: value } : { path, ratio: Number(ratio) };
});

const modelSettings = z.strictObject({
  start: z.string().min(1).optional().meta({
    flag: 'start',
    description: 'Checkpoint folder to start from',
  }),
  config: z.string().min(1).optional().meta({
    flag: 'config',
    description: 'A config.json to start from scratch by, instead of a checkpoint',
  }),
  tokenizer: z.string().min(1).optional().meta({
    flag: 'tokenizer',
    description: 'tokenizer.json or its folder (default: the start’s own)',
  }),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).meta({
    flag: 'init-seed',
    description: 'Seed of the first weights, from scratch',
  }),
});

const dataSettings = z.strictObject({
  sources: z.array(sourceOrText).min(1).max(64).meta({
    flag: 'data',
    description: 'Folders of scored, weighted or packed files; PATH=RATIO mixes several by rows',
  }),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).meta({
    flag: 'seed',
    description: 'Seed of the order of rows',
  }),
  shuffle_tokens: z
    .int()
    .min(0)
    .max(2 ** 31)
    .default(16 * 2 ** 20)
    .meta({
      flag: 'shuffle-tokens',
      description: 'Tokens that rows are shuffled among; 0 keeps the files’ order',
    }),
});

const lossSettings = z.strictObject({
  kind: z.enum(['clm', 'slm']).default('clm').meta({
    flag: 'loss',
    description: 'clm: every eligible token; slm: selected tokens only',
  }),
  selection: z.enum(['live', 'frozen', 'refresh']).default('live').meta({
    flag: 'selection',
    description:
      'live ranks by the trainer’s own loss minus the stored reference loss; frozen takes the stored weights; refresh ranks ahead with the newest checkpoint',
  }),
  keep: z.number().gt(0).max(1).default(0.6).meta({
    flag: 'keep',
    description: 'Share of eligible tokens kept, live and refresh (6 decimals)',
  }),
  rounding: z.enum(['floor', 'ceil']).default('floor').meta({
    flag: 'rounding',
    description: 'How the number kept is rounded',
  }),
  scope: z.enum(['sequence', 'microbatch', 'step']).default('step').meta({
    flag: 'scope',
    description:
      'Tokens that are ranked together; step costs a second forward pass when a step has several micro-batches',
  }),
  refresh_tokens: z
    .int()
    .min(1)
    .default(2 ** 20)
    .meta({ flag: 'refresh-tokens', description: 'Tokens between two rankings, with refresh' }),
});

const batchSettings = z.strictObject({
  rows: z.int().min(1).max(65_536).default(8).meta({
    flag: 'rows',
    description: 'Rows a micro-batch: what is on the device at once',
  }),
  accumulate: z.int().min(1).max(65_536).default(1).meta({
    flag: 'accumulate',
    description: 'Micro-batches a step',
  }),
  steps: z
    .int()
    .min(1)
    .max(2 ** 31)
    .optional()
    .meta({ flag: 'steps', description: 'Steps to train' }),
  tokens: z.int().min(1).optional().meta({
    flag: 'tokens',
    description: 'Tokens to train on instead of steps (rounded up to whole steps)',
  }),
  epochs: z.number().positive().max(1e6).optional().meta({
    flag: 'epochs',
    description: 'Passes over the data instead of steps (of the source that ends last)',
  }),
});

const computeSettings = z.strictObject({
  precision: z.enum(['fp32', 'fp16', 'bf16']).default('fp32').meta({
    flag: 'precision',
    description:
      'What forward and backward pass compute in; weights, moments, sums of gradients and losses are fp32 in any case',
  }),
  loss_scale: z
    .number()
    .min(2)
    .max(2 ** 24)
    .refine((scale) => Number.isInteger(Math.log2(scale)), 'expected a power of two')
    .default(2 ** 16)
    .meta({
      flag: 'loss-scale',
      description: 'First loss scale of fp16, a power of two; it halves and doubles as training goes',
    }),
});

const optimizerSettings = z.strictObject({
  learning_rate: z.number().positive().max(10).default(3e-4).meta({
    flag: 'learning-rate',
    description: 'Peak learning rate of AdamW',
  }),
  beta1: z
    .number()
    .min(0)
    .lt(1)
    .default(0.9)
    .meta({ flag: 'beta1', description: 'Decay of the first moment' }),
  beta2: z
    .number()
    .min(0)
    .lt(1)
    .default(0.95)
    .meta({ flag: 'beta2', description: 'Decay of the second moment' }),
  epsilon: z.number().positive().max(1).default(1e-8).meta({ flag: 'epsilon', description: 'Added to √v' }),
  weight_decay: z.number().min(0).max(10).default(0.1).meta({
    flag: 'weight-decay',
    description: 'Decoupled decay of matrices; none on norms and biases',
  }),
  clip: z.number().positive().max(1e9).default(1).meta({
    flag: 'clip',
    description: 'Largest global norm of the gradient',
  }),
});

const scheduleSettings = z.strictObject({
  kind: z.enum(['constant', 'cosine']).default('cosine').meta({
    flag: 'schedule',
    description: 'Learning rate after warm-up',
  }),
  warmup_steps: z
    .int()
    .min(0)
    .max(2 ** 31)
    .default(0)
    .meta({
      flag: 'warmup-steps',
      description: 'Steps of linear warm-up',
    }),
  final: z.number().min(0).max(1).default(0.1).meta({
    flag: 'final-learning-rate',
    description: 'Learning rate at the end of the cosine, as a share of the peak',
  }),
});

/** `{ name: folder }`, or `NAME=FOLDER` texts. */
const namedFolders = withShorthand(
  z.record(z.string().regex(/^[\w.-]{1,64}$/, 'expected NAME=FOLDER'), z.string().min(1)),
  z.array(z.string().regex(/^[\w.-]{1,64}=./)),
  (value) =>
    Array.isArray(value)
      ? Object.fromEntries(
          value.map((entry) => {
            const text = String(entry);
            const at = text.indexOf('=');
            return [text.slice(0, Math.max(0, at)), text.slice(at + 1)];
          }),
        )
      : value,
);

const heldOutSettings = z.strictObject({
  sources: namedFolders.default({}).meta({
    flag: 'held-out',
    repeats: true,
    description: 'NAME=FOLDER of held-out rows, whose mean loss is measured as training goes',
  }),
  every: z.int().min(1).optional().meta({
    flag: 'held-out-every',
    description: 'Steps between measurements of held-out loss (default: only at the end)',
  }),
  tokens: z
    .int()
    .min(1)
    .default(2 ** 20)
    .meta({
      flag: 'held-out-tokens',
      description: 'Tokens of each held-out folder, its first',
    }),
});

const runSettings = z.strictObject({
  device: z
    .enum(['auto', 'cpu', 'cuda'])
    .default('auto')
    .meta({ flag: 'device', description: 'Where the model is trained' }),
  threads: z
    .int()
    .min(0)
    .max(1024)
    .default(0)
    .meta({ flag: 'threads', description: 'Threads of the session (0: all cores)' }),
  steps_per_call: z.int().min(1).max(1024).optional().meta({
    flag: 'steps-per-call',
    description: 'Steps the device takes before state and metrics come back (default: by the model’s size)',
  }),
  checkpoint_every: z.int().min(1).optional().meta({
    flag: 'checkpoint-every',
    description: 'Steps between checkpoints (default: ten a run)',
  }),
  keep_checkpoints: z.int().min(1).max(10_000).default(2).meta({
    flag: 'keep-checkpoints',
    description: 'Newest checkpoints to keep, with what resuming needs',
  }),
  max_loss: z.number().positive().max(87).default(50).meta({
    flag: 'max-loss',
    description: 'A step of a higher mean loss (nats, at most 87) is an explosion and stops the run',
  }),
});

export const trainSchema = z
  .strictObject({
    version: z.literal(1).default(1).meta({ description: 'Version of this format' }),
    out: z.string().min(1).meta({ flag: 'out', description: 'Output folder: checkpoints, metrics, report' }),
    model: modelSettings,
    data: dataSettings,
    loss: lossSettings.prefault({}),
    batch: batchSettings.prefault({}),
    compute: computeSettings.prefault({}),
    optimizer: optimizerSettings.prefault({}),
    schedule: scheduleSettings.prefault({}),
    held_out: heldOutSettings.prefault({}),
    run: runSettings.prefault({}),
  })
  .refine(({ model }) => (model.start === undefined) !== (model.config === undefined), {
    path: ['model', 'start'],
    message:
      'name a checkpoint to start from (start) or a config.json for a model from scratch (config), one of them',
  })
  .refine(
    ({ batch }) =>
      [batch.steps, batch.tokens, batch.epochs].filter((given) => given !== undefined).length === 1,
    { path: ['batch', 'steps'], message: 'say how long to train: steps, tokens or epochs, one of them' },
  );

/** A training run with every default filled in. */
export type TrainSettings = z.infer<typeof trainSchema>;
/** A training run as it may be written. */
export type TrainInput = z.input<typeof trainSchema>;
