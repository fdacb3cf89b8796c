/**
 * Llama checkpoints of any size made on the spot: random weights in bfloat16, streamed to disk. A tensor's elements
 * are cut from one pool of normal numbers, from a place that its name and the seed decide, so that a model of 7 billion
 * parameters takes as long as writing 14 GB. Same shape and seed, same bytes.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { llamaTensors } from './llama.mjs';

/** Elements of the pool, 8 MB or 128 KB, a prime number so that tensors do not line up with it. */
const poolOf = (elements) => (elements > 2 ** 24 ? 4_194_301 : 65_521);
/** As models of the family begin. */
const DEVIATION = 0.02;

/**
 * Writes `config.json` and `model.safetensors` below `folder`, unless they are there.
 * @param {string} folder
 * @param {Record<string, any>} shape fields of config.json
 * @param {{ seed?: number, near?: { seed: number, distance: number }, perturb?: boolean }} options `near`: weights that
 *   differ from those of another seed by `distance` standard deviations, as two models of one family do; `perturb`:
 *   one row of the first layer's down projection is four times itself, a fault that a comparison must notice
 */
export async function writeRandomLlama(folder, shape, { seed = 1, near, perturb = false } = {}) {
  const path = join(folder, 'model.safetensors');
  if (existsSync(join(folder, 'config.json'))) return;
  mkdirSync(folder, { recursive: true });
  const tensors = llamaTensors(shape);
  const header = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const [name, dims] of tensors) {
    const bytes = 2 * dims.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'BF16', shape: dims, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const text = JSON.stringify(header);
  const head = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  const size = poolOf(end / 2);
  const pool = normalPool(size, near?.seed ?? seed, near && { seed, distance: near.distance });
  const file = await open(path, 'w');
  try {
    await file.write(Buffer.concat([length, head]));
    for (const [name, dims] of tensors) {
      for (const piece of piecesOf(name, dims, near?.seed ?? seed, pool, perturb)) {
        await file.write(piece);
      }
    }
  } finally {
    await file.close();
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(shape)));
}

const configOf = (shape) => ({
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  initializer_range: DEVIATION,
  bos_token_id: 1,
  eos_token_id: 2,
  torch_dtype: 'bfloat16',
  ...shape,
});

function* piecesOf(name, dims, seed, pool, perturb) {
  const count = dims.reduce((a, b) => a * b, 1);
  if (dims.length === 1) {
    yield Buffer.from(new Uint16Array(count).fill(ONE).buffer);
    return;
  }
  const faulty = perturb && name === 'model.layers.0.mlp.down_proj.weight';
  let at = startOf(name, seed) % pool.length;
  for (let done = 0; done < count; ) {
    const take = Math.min(count - done, pool.length - at);
    let piece = pool.subarray(at, at + take);
    if (faulty && done === 0) {
      const row = Math.min(dims[1], take);
      // Two steps of the exponent: four times as large.
      piece = piece.map((bits, i) => (i < row && bits !== 0 ? bits + (2 << 7) : bits));
    }
    yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    done += take;
    at = (at + take) % pool.length;
  }
}

/** 1.0 in bfloat16. */
const ONE = 0x3f80;

/** FNV-1a over the name. */
function startOf(name, seed) {
  let hash = 2166136261 ^ seed;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 16777619) >>> 0;
  return hash;
}

/** Normal numbers as bfloat16 bits; `mixed` adds those of another seed, keeping the deviation. */
function normalPool(size, seed, mixed) {
  const values = normals(size, seed);
  if (mixed) {
    const other = normals(size, mixed.seed);
    const norm = 1 / Math.hypot(1, mixed.distance);
    for (let i = 0; i < size; i++) values[i] = (values[i] + mixed.distance * other[i]) * norm;
  }
  const bits = new Uint32Array(values.buffer);
  // Round to nearest, ties to even.
  return Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}

/** Box and Muller 1958 over a linear congruential generator: the distribution's shape is all that matters here. */
function normals(size, seed) {
  const values = new Float32Array(size);
  let state = Math.imul(seed, 2654435761) >>> 0;
  const unit = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  for (let i = 0; i < size; i += 2) {
    const radius = DEVIATION * Math.sqrt(-2 * Math.log(unit()));
    const angle = 2 * Math.PI * unit();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < size) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}
