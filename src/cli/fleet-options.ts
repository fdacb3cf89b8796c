import type { Options } from 'yargs';
import { usageError } from '../errors.js';
import type { FleetRates } from '../plan/plan-fleet.js';
import type { PaperCorpus } from '../plan/plan-paper.js';

/**
 * Devices known by name: TFLOP/s of dense bf16 matrix products as measured on one, and the share of it that models are
 * assumed to reach. The share is a goal: no model of ours was measured on a GPU yet.
 */
const DEVICES = { h100: { tflops: 800, mfu: 0.5 } } as const;
type DeviceName = keyof typeof DEVICES;

/** OpenWebMath's 114 parquet shards of about 240 MB hold 14.7 billion tokens. */
const INPUT_BYTES_PER_TOKEN = 1.9;
/** 8.2 MB of web mathematics by Llama 2’s tokenizer: 2.61, measured. */
const TEXT_BYTES_PER_TOKEN = 2.6;
/** The native tokenizer with a vocabulary of Llama 2's size: 1.7M tokens/s on two cores. */
const TOKENS_PER_SECOND_PER_CORE = 850_000;
const CORES = 8;
const NETWORK_GBIT = 10;

const group = 'Fleet, on paper:';
const number = (description: string, byDefault?: number): Options => ({
  type: 'number',
  requiresArg: true,
  description,
  group,
  ...(byDefault !== undefined && { defaultDescription: String(byDefault) }),
});

export const fleetOptions: Record<string, Options> = {
  tokens: number(
    'Plan for a corpus of so many tokens that is not at hand; models by their config.json alone',
  ),
  mfu: number('Share of the device’s rate that models are assumed to reach', DEVICES.h100.mfu),
  price: number('Price of a worker’s hour; without it no cost is told'),
  cores: number('Cores of a worker', CORES),
  'tokenizer-rate': number('Tokens a second that a core tokenizes', TOKENS_PER_SECOND_PER_CORE),
  'network-gbit': number('Gbit/s of a worker, in and out together', NETWORK_GBIT),
  'text-bytes': number('With --tokens: bytes of text a token', TEXT_BYTES_PER_TOKEN),
  'input-bytes': number(
    'Bytes of stored shards a token, where shards are not at hand',
    INPUT_BYTES_PER_TOKEN,
  ),
};

type Arguments = Readonly<Record<string, unknown>>;

export const isFleetDevice = (device: unknown): device is DeviceName =>
  typeof device === 'string' && Object.hasOwn(DEVICES, device);
export const fleetDevices = Object.keys(DEVICES) as readonly DeviceName[];

/** Whether the command line asks for a plan of many workers. */
export const asksForFleet = (args: Arguments): boolean =>
  isFleetDevice(args['device']) || args['tokens'] !== undefined || args['price'] !== undefined;

/** @throws TokensieveError (usage) `bad-rate` */
function positive(args: Arguments, name: string, byDefault: number): number {
  const value = args[name] ?? byDefault;
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw usageError('bad-rate', `--${name} ${String(value)}: expected a number above 0`);
}

/**
 * Rates of a worker, and a line for each of them that says where it is from.
 * @throws TokensieveError (usage) `bad-rate`; `no-rate` where nothing tells the device's
 */
export function fleetRates(args: Arguments): {
  readonly rates: FleetRates;
  readonly assumed: readonly string[];
} {
  const device = isFleetDevice(args['device']) ? args['device'] : null;
  const given = args['tflops'] === undefined ? null : positive(args, 'tflops', 0);
  if (device === null && given === null) {
    throw usageError(
      'no-rate',
      `no rate of a worker’s device: give --device ${fleetDevices.join(' or ')}, or --tflops with what models reach on it`,
    );
  }
  const mfu = positive(args, 'mfu', device === null ? 1 : DEVICES[device].mfu);
  if (mfu > 1) throw usageError('bad-rate', `--mfu ${mfu}: expected a share of at most 1`);
  const peak = given ?? (device === null ? 0 : DEVICES[device].tflops);
  const tflops = given !== null && args['mfu'] === undefined ? given : peak * mfu;
  const cores = positive(args, 'cores', CORES);
  const tokenizer = positive(args, 'tokenizer-rate', TOKENS_PER_SECOND_PER_CORE);
  const gbit = positive(args, 'network-gbit', NETWORK_GBIT);
  const workers = positive(args, 'workers', 1);
  if (!Number.isInteger(workers))
    throw usageError('bad-rate', `--workers ${workers}: expected a whole number`);
  const from = (name: string): string => (args[name] === undefined ? 'assumed' : 'as given');
  return {
    rates: {
      workers,
      flopsPerSecond: tflops * 1e12,
      coresPerWorker: cores,
      tokensPerSecondPerCore: tokenizer,
      networkBytesPerSecond: (gbit * 1e9) / 8,
      pricePerHour: args['price'] === undefined ? null : positive(args, 'price', 0),
    },
    assumed: [
      given === null
        ? `device: ${tflops} TFLOP/s, ${mfu * 100}% (${args['mfu'] === undefined ? 'a goal, not measured; --mfu' : 'as given'}) of ${peak} measured with dense bf16 products on an H100`
        : `device: ${tflops} TFLOP/s, as given`,
      `tokenizing: ${tokenizer} tokens/s a core (${args['tokenizer-rate'] === undefined ? 'the native tokenizer, measured; --tokenizer-rate' : 'as given'}), ${cores} cores a worker (${from('cores')}; --cores)`,
      `network: ${gbit} Gbit/s a worker (${from('network-gbit')}; --network-gbit)`,
    ],
  };
}

/** @throws TokensieveError (usage) `bad-rate` */
export function paperCorpus(args: Arguments): PaperCorpus & { readonly assumed: string } {
  const text = positive(args, 'text-bytes', TEXT_BYTES_PER_TOKEN);
  const input = positive(args, 'input-bytes', INPUT_BYTES_PER_TOKEN);
  return {
    tokens: positive(args, 'tokens', 0),
    textBytesPerToken: text,
    inputBytesPerToken: input,
    assumed: `corpus: ${text} bytes of text a token (--text-bytes), ${input} bytes of stored shards a token (--input-bytes)`,
  };
}
