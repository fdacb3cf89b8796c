/** Ids and losses from JSON: a record an object, or vLLM's responses. */
import { BrokenStream } from '../corpus/broken-stream.js';
import { decompressed } from '../corpus/byte-stream.js';
import type { ShardFormat } from '../corpus/shard.js';
import { firstLine } from '../errors.js';
import { isJsonObject } from '../json/canonical-json.js';
import { parsePythonJson } from '../json/python-json.js';
import { withoutQuery } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { jsonObjects } from './json-values.js';
import { recordOf } from './parquet.js';
import {
  badSource,
  type ChosenColumns,
  type ColumnNames,
  chooseColumns,
  type LossRecord,
  scaleOf,
} from './record.js';
import { isVllm, vllmRecords } from './vllm.js';

/** Values of one object: a prompt of 8,192 tokens with twenty candidates a token has two million. */
const MAX_VALUES = 1 << 23;

/**
 * The records of a JSON file in order, compressed or not.
 * @throws TokensieveError (input) `bad-json`, `bad-source`, `no-such-column`
 */
export async function* jsonRecords(
  storage: Storage,
  path: string,
  settings: ColumnNames & { readonly unit: 'nats' | 'bits' },
): AsyncGenerator<LossRecord> {
  const version = await storage.stat(path);
  let chosen: ChosenColumns | null = null;
  try {
    const bytes = decompressed(storage, path, version, compressionOf(path));
    for await (const object of jsonObjects(bytes, path)) {
      const place = `${path}: line ${object.line}`;
      let value: unknown;
      try {
        value = parsePythonJson(strict.decode(object.bytes), { values: MAX_VALUES });
      } catch (error) {
        throw badSource(place, `not JSON: ${firstLine(error)}`);
      }
      if (!isJsonObject(value)) throw badSource(place, 'not an object');
      if (isVllm(value)) {
        if (settings.values === 'losses') {
          throw badSource(place, 'prompt_logprobs are log-probabilities; leave --values losses out');
        }
        yield* vllmRecords(value, place, scaleOf({ values: 'logprobs', unit: settings.unit }));
        continue;
      }
      chosen ??= chooseColumns(Object.keys(value), settings, place);
      const scale = scaleOf({ values: chosen.values, unit: settings.unit });
      const ids = chosen.ids === null ? undefined : value[chosen.ids];
      yield recordOf(ids, value[chosen.losses], chosen.ids !== null, place, scale);
    }
  } catch (error) {
    if (error instanceof BrokenStream) throw badSource(path, `it does not decompress: ${firstLine(error)}`);
    throw error;
  }
}

const strict = new TextDecoder('utf-8', { fatal: true });

const compressionOf = (path: string): Exclude<ShardFormat, 'parquet'> =>
  /\.gz$/i.test(withoutQuery(path)) ? 'jsonl.gz' : /\.zst$/i.test(withoutQuery(path)) ? 'jsonl.zst' : 'jsonl';
