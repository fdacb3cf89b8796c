import { expect, it } from 'vitest';
import { GraphBuilder, type Value } from '#tokensieve/onnx/graph.js';
import { adamW } from '#tokensieve/train/graph/adamw.js';
import { CHUNK, paddedLength, vectorShape } from '#tokensieve/train/parameters.js';
import { runGraph } from '../support/run-graph.js';
import { randoms } from '../support/training.js';

const beta1 = 0.9;
const beta2 = 0.95;
const epsilon = 1e-8;
const rate = 1e-2;
const decay = 0.1;
const scale = 0.25;
const step = 3;

/** One step as Loshchilov and Hutter write it, in double precision. */
function reference(w: number, m: number, v: number, gradient: number) {
  const g = gradient * scale;
  const first = beta1 * m + (1 - beta1) * g;
  const second = beta2 * v + (1 - beta2) * g * g;
  const mHat = first / (1 - beta1 ** step);
  const vHat = second / (1 - beta2 ** step);
  return { w: w - rate * decay * w - (rate * mHat) / (Math.sqrt(vHat) + epsilon), m: first, v: second };
}

it.each([
  ['one piece', 1000],
  ['one whole chunk', CHUNK],
  ['three chunks, the last padded', 2 * CHUNK + 17],
])('is AdamW in %s', async (_, length) => {
  const padded = paddedLength(length);
  const shape = vectorShape(padded);
  const g = new GraphBuilder('adamw');
  const input = (name: string): Value => g.input(name, 'float32', shape);
  const vectors = { weights: input('w'), firstMoment: input('m'), secondMoment: input('v') };
  const gradient = g.input('g', 'float32', [padded]);
  const root = Math.sqrt(1 - beta2 ** step);
  const scalars = {
    scale: g.float32(scale),
    stepSize: g.float32((rate * root) / (1 - beta1 ** step)),
    floor: g.float32(epsilon * root),
    shrink: g.float32(1 - rate * decay),
  };
  const made = adamW(g, vectors, { values: gradient, length: padded }, scalars, { beta1, beta2 });
  g.output(made.weights, 'new_w', 'float32', shape);
  g.output(made.firstMoment, 'new_m', 'float32', shape);
  g.output(made.secondMoment, 'new_v', 'float32', shape);

  const draw = randoms(length);
  const vector = (value: () => number) =>
    Float32Array.from({ length: padded }, (_, i) => (i < length ? value() : 0));
  const data = {
    w: vector(() => draw() - 0.5),
    m: vector(() => draw() - 0.5),
    v: vector(draw),
    g: vector(() => 8 * (draw() - 0.5)),
  };
  const outputs = await runGraph(g.build(), {
    w: { data: data.w, dims: shape },
    m: { data: data.m, dims: shape },
    v: { data: data.v, dims: shape },
    g: { data: data.g, dims: [padded] },
  });
  let worst = 0;
  for (let i = 0; i < padded; i++) {
    const expected = reference(data.w[i] ?? 0, data.m[i] ?? 0, data.v[i] ?? 0, data.g[i] ?? 0);
    for (const name of ['w', 'm', 'v'] as const) {
      const found = outputs[`new_${name}`]?.data[i] ?? Number.NaN;
      worst = Math.max(worst, Math.abs(found - expected[name]));
      if (i >= length) expect(found).toBe(0);
    }
  }
  expect(worst).toBeLessThan(3e-7);
});
