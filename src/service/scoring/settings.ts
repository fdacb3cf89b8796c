import { z } from 'zod';
import { usageError } from '../../errors.js';

/** Texts a request. */
export const MAX_TEXTS = 64;
/** UTF-8 bytes a text. */
export const MAX_TEXT_BYTES = 64 << 10;
/** Rows are at most this long where neither the settings nor the models say less. */
const DEFAULT_MAX_TOKENS = 2048;

/** The longest row, in tokens: what is set, else 2048 or what the models take. */
export const maxTokensOf = (set: number | undefined, positions: readonly (number | null)[]): number =>
  set ?? Math.min(DEFAULT_MAX_TOKENS, ...positions.map((most) => most ?? DEFAULT_MAX_TOKENS));

/** Two models of one tokenizer under one name. One of them may be left out: then there is no excess loss. */
export const pairSettings = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)
      .meta({ description: 'What requests call the pair: letters, digits, ".", "_" and "-"' }),
    reference: z.string().min(1).optional().meta({ description: 'Folder of the reference model' }),
    current: z.string().min(1).optional().meta({ description: 'Folder of the current model' }),
    tokenizer: z
      .string()
      .min(1)
      .optional()
      .meta({ description: 'tokenizer.json or its folder (default: the models’ own)' }),
    control_tokens: z.enum(['text', 'special']).default('text').meta({
      description: 'What a control token spelled out in a text is',
    }),
    max_tokens: z
      .int()
      .min(2)
      .max(1 << 20)
      .optional()
      .meta({ description: 'Longest row, in tokens (default: 2048, or what the models take)' }),
    overlap: z.int().min(1).optional().meta({
      description: 'Tokens of context that a long text’s next row repeats (default: a quarter of max_tokens)',
    }),
    entropy: z.boolean().default(false).meta({
      description: 'Compute entropies too, which reference-entropy and esl select by',
    }),
  })
  .refine(({ reference, current }) => reference !== undefined || current !== undefined, {
    path: ['reference'],
    message: 'name a reference model, a current model, or both',
  });

/** How texts are scored, whichever pair does it. */
export const scoringRules = z.strictObject({
  device: z.enum(['auto', 'cpu', 'cuda', 'webgpu']).default('auto').meta({
    description: 'Where the models run; auto takes CUDA where it loads, else the CPU',
  }),
  threads: z.int().min(0).max(1024).default(0).meta({
    description: 'Threads a model session (0: the cores shared out between the models of a pair)',
  }),
  precision: z.enum(['auto', 'fp32', 'fp16', 'bf16']).default('auto').meta({
    description: 'What the models compute in, as `score.precision` of a pipeline',
  }),
  card_memory: z.number().positive().max(10_000).optional().meta({
    description:
      'Memory of a card that one row must fit in, in GB of 10⁹ bytes (default: what nvidia-smi says)',
  }),
  batch_tokens: z
    .int()
    .min(2)
    .max(1 << 24)
    .default(1024)
    .meta({ description: 'Tokens a model call, padding included: a request may wait for two such calls' }),
  request_tokens: z
    .int()
    .min(2)
    .max(1 << 24)
    .default(1 << 17)
    .meta({ description: 'Most tokens a request may hold; more is refused (413)' }),
  queue_tokens: z
    .int()
    .min(2)
    .max(1 << 28)
    .default(1 << 18)
    .meta({ description: 'Most tokens that wait for one pair; a request beyond them is refused (429)' }),
  tokenizer_engine: z.enum(['auto', 'native', 'portable']).default('auto').meta({
    description: 'Both give the same ids; native is faster where it loads',
  }),
  cache: z.string().min(1).optional().meta({
    description: 'Folder for built graphs (default: the user’s cache folder)',
  }),
});

/** What the scoring part of the service is opened with. */
export const scoringSettings = scoringRules
  .extend({
    models: z
      .array(pairSettings)
      .max(64)
      .default([])
      .refine((pairs) => new Set(pairs.map(({ name }) => name)).size === pairs.length, {
        message: 'two pairs have one name',
      })
      .meta({ description: 'Model pairs; the first is the default' }),
    preload: z.boolean().default(false).meta({
      description: 'Load every pair’s weights at start, not at its first request',
    }),
  })
  .refine(({ request_tokens, queue_tokens }) => request_tokens <= queue_tokens, {
    path: ['request_tokens'],
    message: 'request_tokens must not be more than queue_tokens, or no queue could take such a request',
  });

export type ScoringSettings = Readonly<z.output<typeof scoringSettings>>;
export type ScoringInput = z.input<typeof scoringSettings>;
export type PairSettings = ScoringSettings['models'][number];

/**
 * A pair as a flag: `NAME=REFERENCE,CURRENT`, either side of the comma may be empty.
 * @throws TokensieveError usage `bad-models`
 */
export function pairFromFlag(text: string): z.input<typeof pairSettings> {
  const match = /^([^=]+)=([^,]*)(?:,([^,]*))?$/.exec(text);
  const [, name = '', reference = '', current = ''] = match ?? [];
  if (name !== '' && (reference !== '' || current !== '')) {
    return { name, ...(reference !== '' && { reference }), ...(current !== '' && { current }) };
  }
  throw usageError(
    'bad-models',
    `--models "${text}": expected NAME=REFERENCE,CURRENT, two model folders (either may be left out: NAME=REFERENCE or NAME=,CURRENT)`,
  );
}
