import { inputError } from '../errors.js';
import { parseJson } from '../json/parse-json.js';
import { gguf } from '../model/foreign-formats.js';
import { isLfsPointer, lfsSentence } from '../model/lfs-pointer.js';
import { maxHeaderBytes } from '../model/safetensors.js';
import type { Storage } from '../storage/storage.js';

/** What a file is by its bytes. `json` and `text` take a closer look. */
export type FileKind =
  | 'parquet'
  | 'arrow'
  | 'safetensors'
  | 'onnx'
  | 'jsonl.gz'
  | 'jsonl.zst'
  | 'manifest'
  | 'export-manifest'
  | 'export-index'
  | 'tokenizer'
  | 'jsonl'
  | 'pipeline';

/** Bytes at the beginning that are looked at. */
const HEAD_BYTES = 1 << 16;
/** Longest JSON file that is parsed to see what it is: larger than any tokenizer.json. */
const MAX_JSON_BYTES = 1 << 28;
const MAX_PIPELINE_BYTES = 1 << 20;

const EXPECTED =
  'a parquet or JSON-lines shard, an Arrow file of this package, a manifest, .safetensors, ONNX, tokenizer.json, a pipeline file, or a folder of them';

/**
 * Tells what a file is from its content; its name decides only where bytes cannot.
 * @throws TokensieveError (input) `unknown-file`
 */
export async function detectFile(storage: Storage, path: string): Promise<FileKind> {
  const { size } = await storage.stat(path);
  if (size === 0) throw inputError('unknown-file', `${path}: is empty; expected ${EXPECTED}`);
  const head = Buffer.from(await storage.readRange(path, 0, Math.min(size, HEAD_BYTES)));
  return byMagic(head, size, path) ?? (await byText(storage, path, head, size));
}

function byMagic(head: Buffer, size: number, path: string): FileKind | null {
  const magic = head.toString('latin1', 0, 6);
  if (magic.startsWith('PAR1') || magic.startsWith('PARE')) return 'parquet';
  if (magic === 'ARROW1') return 'arrow';
  if (magic.startsWith('GGUF')) throw inputError('unknown-file', `${path}: ${gguf}`);
  if (isLfsPointer(head)) throw inputError('git-lfs-pointer', lfsSentence(path));
  if (head.length >= 4) {
    const word = head.readUInt32LE(0);
    if (word === 0xfd2fb528) return 'jsonl.zst';
    if ((word & 0xffff) === 0x8b1f) return 'jsonl.gz';
    if (word === 0xffffffff) {
      throw inputError(
        'unknown-file',
        `${path}: is an Arrow IPC stream; expected an Arrow IPC file of this package: it is no shard format, export it to parquet or jsonl to score it`,
      );
    }
  }
  // A zip (torch.save) or a bare pickle: reading one can run code.
  if (magic.startsWith('PK\x03\x04') || (head[0] === 0x80 && (head[1] ?? 0) >= 2 && (head[1] ?? 0) <= 5)) {
    throw inputError(
      'unknown-file',
      `${path}: is a zip or pickle file, as torch.save writes, which can run code when it is read; expected .safetensors: save it with save_pretrained(safe_serialization=True)`,
    );
  }
  if (isSafetensors(head, size)) return 'safetensors';
  // A ModelProto begins with its IR version (field 1, a small number); the name decides for other orders.
  if ((head[0] === 0x08 && (head[1] ?? 0) > 0 && (head[1] ?? 0) < 64) || /\.onnx$/i.test(path)) return 'onnx';
  return null;
}

/** A header length that fits, then JSON. A broken file by this name is one too, for the reader to say why. */
function isSafetensors(head: Buffer, size: number): boolean {
  if (head.length < 9) return false;
  const length = head.readBigUInt64LE(0);
  return length <= BigInt(Math.min(maxHeaderBytes, size - 8)) && head[8] === 0x7b;
}

async function byText(storage: Storage, path: string, head: Buffer, size: number): Promise<FileKind> {
  const extension = /\.([a-z0-9]+)$/i.exec(path)?.[1]?.toLowerCase() ?? '';
  if (extension === 'safetensors') return 'safetensors';
  if (extension === 'parquet') return 'parquet';
  if (extension === 'arrow') return 'arrow';
  if (head.includes(0)) throw unknown(path, head);
  const text = head.toString('utf8').replace(/^\uFEFF/, '');
  const isObject = text.trimStart().startsWith('{');
  if (extension === 'jsonl' || extension === 'ndjson') return 'jsonl';
  if (isObject && severalLines(text)) return 'jsonl';
  if (isObject && size <= MAX_JSON_BYTES) {
    const kind = kindOfJson(Buffer.from(await storage.readRange(path, 0, size)).toString('utf8'), path);
    if (kind !== null) return kind;
  }
  if (extension === 'yaml' || extension === 'yml') return 'pipeline';
  if (size <= MAX_PIPELINE_BYTES && /^(shards|reference|current|out|version)\s*:/m.test(text))
    return 'pipeline';
  throw unknown(path, head);
}

/** Whether the first line is a JSON object of its own and another line follows. */
function severalLines(text: string): boolean {
  const end = text.indexOf('\n');
  return end >= 0 && text.slice(end).trim() !== '' && isObject(parsed(text.slice(0, end)));
}

function kindOfJson(text: string, path: string): FileKind | null {
  const json = parsed(text);
  // Lines of which the first is longer than what was looked at.
  if (!isObject(json)) return text.includes('\n{') ? 'jsonl' : null;
  const has = (key: string): boolean => Object.hasOwn(json, key);
  if (json['kind'] === 'export-index') return 'export-index';
  if (has('fingerprint') && has('outputs')) return json['kind'] === 'export' ? 'export-manifest' : 'manifest';
  if (has('model') && isObject(json['model']) && Object.hasOwn(json['model'], 'vocab')) return 'tokenizer';
  if ((has('shards') && has('out')) || has('stages')) return 'pipeline';
  if (has('weight_map') || has('architectures')) {
    throw inputError('unknown-file', `${path}: belongs to a checkpoint; inspect its folder`);
  }
  // A shard of one row ends like this; a JSON file of unknown use does not look like documents.
  return /\.json$/i.test(path) ? null : 'jsonl';
}

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function unknown(path: string, head: Buffer): Error {
  const begins = JSON.stringify(head.toString('latin1', 0, 8));
  return inputError('unknown-file', `${path}: begins with ${begins}; expected ${EXPECTED}`);
}
