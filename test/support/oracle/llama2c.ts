import { readFileSync } from 'node:fs';
import type { Tensor } from './checkpoint.js';
import { activation, add, attention, embedding, linear, multiply, type Row, rmsNorm } from './layers.js';
import type { Forward } from './llama.js';

/**
 * The files of llama2.c (github.com/karpathy/llama2.c, export version 0), read from scratch: seven int32 (width,
 * inner width, layers, heads, key-value heads, vocabulary, positions), then fp32 tensors in a fixed order. Unlike
 * the Hugging Face layout, a rotary pair is two neighbours (2i, 2i + 1) and the query and key rows lie to suit.
 */
export function llama2c(path: string, ids: readonly number[]): Forward {
  const file = readFileSync(path);
  const [width, inner, layers, query, keyValue, vocabulary, positions] = Array.from({ length: 7 }, (_, i) =>
    file.readInt32LE(4 * i),
  ) as [number, number, number, number, number, number, number];
  if (vocabulary < 0) throw new Error('an untied head is not read here');
  const size = width / query;
  let at = 28;
  const take = (...shape: number[]): Tensor => {
    const start = at;
    const count = shape.reduce((a, b) => a * b, 1);
    at += 4 * count;
    return { shape, data: Float64Array.from({ length: count }, (_, i) => file.readFloatLE(start + 4 * i)) };
  };
  const stack = (...shape: number[]): Tensor[] => Array.from({ length: layers }, () => take(...shape));

  const table = take(vocabulary, width);
  const attentionNorm = stack(width);
  const wq = stack(width, width);
  const wk = stack(keyValue * size, width);
  const wv = stack(keyValue * size, width);
  const wo = stack(width, width);
  const innerNorm = stack(width);
  const w1 = stack(inner, width);
  const w2 = stack(width, inner);
  const w3 = stack(inner, width);
  const finalNorm = take(width);
  // cos and sin tables, [positions, size / 2] each, which run.c recomputes and skips too.
  if (at + 4 * positions * size !== file.length)
    throw new Error(`${path}: ${file.length - at} bytes are left`);

  const heads = { query, keyValue, size, window: null };
  const silu = activation('silu');
  const norm = (row: Row, weight: Tensor): Row => rmsNorm(row, weight, 1e-5);
  let x = ids.map((id) => embedding(table, id));
  for (let l = 0; l < layers; l++) {
    const normed = x.map((row) => norm(row, attentionNorm[l]!));
    const q = normed.map((row, t) => rotateNeighbours(linear(row, wq[l]!), t, size));
    const k = normed.map((row, t) => rotateNeighbours(linear(row, wk[l]!), t, size));
    const v = normed.map((row) => linear(row, wv[l]!));
    const mixed = attention(q, k, v, heads);
    x = x.map((row, t) => add(row, linear(mixed[t]!, wo[l]!)));
    x = x.map((row) => {
      const y = norm(row, innerNorm[l]!);
      return add(row, linear(multiply(silu(linear(y, w1[l]!)), linear(y, w3[l]!)), w2[l]!));
    });
  }
  return { states: x.map((row) => norm(row, finalNorm)), head: table };
}

function rotateNeighbours(x: Row, position: number, size: number): Row {
  const y = Float64Array.from(x);
  for (let i = 0; i < x.length; i += 2) {
    const angle = position / 10000 ** ((i % size) / size);
    y[i] = x[i]! * Math.cos(angle) - x[i + 1]! * Math.sin(angle);
    y[i + 1] = x[i]! * Math.sin(angle) + x[i + 1]! * Math.cos(angle);
  }
  return y;
}

/**
 * Ids of a text by a llama2.c tokenizer file, BOS (1) and a leading space as run.c puts them. The file: int32 of
 * the longest piece, then for each piece float32 score, int32 length, bytes. The best-scored pair is merged first.
 */
export function llama2cTokens(path: string, text: string): number[] {
  const file = readFileSync(path);
  const pieces = new Map<string, { id: number; score: number }>();
  const names: string[] = [];
  for (let at = 4; at < file.length; ) {
    const score = file.readFloatLE(at);
    const length = file.readInt32LE(at + 4);
    const name = file.toString('latin1', at + 8, at + 8 + length);
    if (!pieces.has(name)) pieces.set(name, { id: names.length, score });
    names.push(name);
    at += 8 + length;
  }
  // A character is a piece, or its bytes are: ids 3 to 258.
  const ids = [...` ${text}`].flatMap((character) => {
    const bytes = Buffer.from(character);
    const piece = pieces.get(bytes.toString('latin1'));
    return piece === undefined ? [...bytes].map((byte) => byte + 3) : [piece.id];
  });
  for (;;) {
    let best = { score: Number.NEGATIVE_INFINITY, id: -1, at: -1 };
    for (let i = 0; i + 1 < ids.length; i++) {
      const pair = pieces.get(names[ids[i]!]! + names[ids[i + 1]!]!);
      if (pair !== undefined && pair.score > best.score) best = { ...pair, at: i };
    }
    if (best.at < 0) return [1, ...ids];
    ids.splice(best.at, 2, best.id);
  }
}
