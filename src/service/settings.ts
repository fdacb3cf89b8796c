import { isIP } from 'node:net';
import { z } from 'zod';
import { DEFAULT_QUEUE } from '../queue/connection.js';
import { EXECUTORS } from './jobs/executors.js';
import { pairFromFlag, pairSettings, scoringRules } from './scoring/settings.js';

/** Model pairs, each as a flag writes it (`NAME=REFERENCE,CURRENT`) or with all its settings. */
const modelPairs = z
  .preprocess(
    (value) =>
      Array.isArray(value)
        ? value.map((entry) => (typeof entry === 'string' ? pairFromFlag(entry) : entry))
        : value,
    z.array(pairSettings).max(64),
  )
  .default([]);

const isNetwork = (text: string): boolean => {
  const [address = '', bits, ...more] = text.split('/');
  const longest = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return (
    more.length === 0 &&
    longest > 0 &&
    (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= longest))
  );
};

const rate = z.int().min(1).max(1_000_000);

/** The settings of `tokensieve serve`, for its config file and its flags. */
export const serveSettings = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').meta({
    flag: 'host',
    description: 'Address to listen on; anything but loopback needs a token',
  }),
  port: z
    .int()
    .min(0)
    .max(65_535)
    .default(8787)
    .meta({ flag: 'port', description: 'Port (0: any free one)' }),
  roots: z.array(z.string().min(1)).min(1).max(64).default(['.']).meta({
    flag: 'root',
    repeats: true,
    description: 'Folder that requests may read from and write to; the first one holds jobs/ (repeatable)',
  }),
  models: modelPairs.meta({
    flag: 'models',
    repeats: true,
    description: 'NAME=REFERENCE,CURRENT of models to score with (repeatable)',
  }),
  token_file: z.string().min(1).optional().meta({
    flag: 'token-file',
    description: 'File whose first line every request must send as its bearer token',
  }),
  concurrency: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .meta({ flag: 'concurrency', description: 'Jobs at work at once' }),
  executor: z.enum(EXECUTORS).default('local').meta({
    flag: 'executor',
    description: 'Who makes the parts of jobs that name no executor (queue: TOKENSIEVE_REDIS_URL)',
  }),
  queue: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected letters, digits, _ and -, at most 64')
    .default(DEFAULT_QUEUE)
    .meta({ flag: 'queue', description: 'Name of the queue of the executor queue' }),
  array: z
    .strictObject({
      count: z.int().min(1).max(256).meta({ description: 'Processes that share the parts of a job' }),
      launcher: z.array(z.string().min(1)).max(64).default([]).meta({
        description: 'Command that each goes behind, such as [srun, --ntasks=1]; none: on this machine',
      }),
    })
    .optional()
    .meta({ description: 'The executor array' }),
  hosts: z.array(z.string().min(1)).max(64).default([]).meta({
    flag: 'allow-host',
    repeats: true,
    description: 'Name that requests may call this host, beside localhost (repeatable)',
  }),
  trust_proxy: z
    .array(z.string().refine(isNetwork, 'expected an address or a network, such as 127.0.0.1 or 10.0.0.0/8'))
    .max(64)
    .default([])
    .meta({
      flag: 'trust-proxy',
      repeats: true,
      description:
        'Address or network of a proxy whose X-Forwarded-For tells who asks (repeatable); others are not believed',
    }),
  memory: z
    .int()
    .min(16)
    .max(1 << 20)
    .default(256)
    .meta({
      flag: 'memory',
      description:
        'MiB that the bodies of requests under way may hold together; more are told to come again (429)',
    }),
  preload: z.boolean().default(false).meta({
    flag: 'preload',
    description: 'Load the models at the start, not at the first use',
  }),
  plans: z.boolean().default(true).meta({
    flag: 'plans',
    description: 'Make the plan of every submitted job, in the background',
  }),
  grace_seconds: z.number().min(0.1).max(3600).default(60).meta({
    flag: 'grace-seconds',
    description: 'Time a job has to stop by itself before it is killed',
  }),
  log: z.enum(['info', 'warn', 'error', 'silent']).default('info').meta({
    flag: 'log',
    description: 'What is written to stderr, a JSON object a line',
  }),
  score: scoringRules.prefault({}).meta({ description: 'How texts are scored' }),
  limits: z
    .strictObject({
      submissions: rate.default(60).meta({ description: 'Submissions a minute and address' }),
      wrong_tokens: rate.default(20).meta({ description: 'Wrong tokens a minute and address' }),
    })
    .prefault({}),
});

export type ServeSettings = z.output<typeof serveSettings>;
export type ServeInput = z.input<typeof serveSettings>;

/** Whether only this machine can reach an address. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host);
