import { z } from 'zod';

/** Where a run writes. */
export const outputFolder = z.string().min(1).meta({ flag: 'out', description: 'Output folder' });

/** The one definition of `run:` in a pipeline file: how a run is carried out. Nothing here ever changes a byte. */
export const runSettings = z.strictObject({
  workers: z
    .int()
    .min(1)
    .max(256)
    .default(1)
    .meta({ flag: 'workers', description: 'Parts in work at once, each with sessions of its own' }),
  threads: z
    .int()
    .min(0)
    .max(1024)
    .default(0)
    .meta({ flag: 'threads', description: 'Threads a model session (0: the cores shared out evenly)' }),
  cards: z.int().min(1).max(64).optional().meta({
    flag: 'cards',
    description: 'NVIDIA cards that workers take in turn (default: all that CUDA_VISIBLE_DEVICES shows)',
  }),
  card_memory: z.number().positive().max(10_000).optional().meta({
    flag: 'card-memory',
    description: 'Memory of a card to plan batches by, in GB of 10⁹ bytes (default: what nvidia-smi says)',
  }),
  models_on_card: z.enum(['overlap', 'turns']).default('overlap').meta({
    flag: 'models-on-card',
    description: 'Whether both models of a pair run at once or one after the other; no loss changes',
  }),
  tokenizer_engine: z.enum(['auto', 'native', 'portable']).default('auto').meta({
    flag: 'tokenizer-engine',
    description: 'Both give the same ids; native is faster where it loads',
  }),
  python: z.string().min(1).max(4096).optional().meta({
    flag: 'python',
    description: 'Python of the engine torch (default: TOKENSIEVE_PYTHON, else python3)',
  }),
  cache: z
    .string()
    .optional()
    .meta({ flag: 'cache', description: 'Folder for built graphs (default: the user’s cache folder)' }),
});

export type RunSettings = Readonly<z.output<typeof runSettings>>;
