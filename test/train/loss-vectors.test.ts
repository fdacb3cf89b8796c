import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { GraphBuilder, int } from '#tokensieve/onnx/graph.js';
import { weightedHead } from '#tokensieve/onnx/ops/weighted-head.js';
import { rankedWeights } from '#tokensieve/train/graph/ranking.js';
import { type Outputs, runGraph } from '../support/run-graph.js';

// conformance/losses through the operators of the training graph: the head over an identity matrix takes logits.

const folder = fileURLToPath(new URL('../../conformance/losses/', import.meta.url));
const rows = <T extends z.ZodType>(entry: T) => z.array(z.array(entry));
const number = z.number().nullable();

const vectorSchema = z.strictObject({
  about: z.string(),
  selection: z.enum(['frozen', 'live']),
  normaliser: z.enum(['weights', 'eligible']),
  scope: z.enum(['sequence', 'microbatch', 'step']).optional(),
  keep: z.number().optional(),
  microbatches: z.array(
    z.strictObject({
      labels: rows(number),
      logits: rows(z.array(z.number())),
      weights: rows(z.number()).optional(),
      reference_loss: rows(number).optional(),
    }),
  ),
  expected: z.strictObject({
    token_loss: z.array(rows(number)),
    weights: z.array(rows(z.number())),
    divisor: z.number(),
    loss: z.number(),
    gradient: z.array(rows(z.array(z.number()))),
  }),
});

const vectors = readdirSync(folder).map((name) => ({
  name: name.slice(0, -'.json'.length),
  ...vectorSchema.parse(JSON.parse(readFileSync(folder + name, 'utf8'))),
}));

/** The training graph counts a loss beyond −ln of 1.2e-38 (weighted-head.ts) as this much; its gradient is the true one. */
const LIMIT = -Math.log(1.2e-38);

interface Head {
  readonly loss: number;
  readonly gradient: Float32Array;
}

/** Σ w·L of [n, V] logits and its gradient. */
async function headOf(logits: Float32Array, targets: Int32Array, weights: Float32Array): Promise<Head> {
  const count = targets.length;
  const width = logits.length / count;
  const g = new GraphBuilder('head');
  const given = {
    states: g.input('states', 'float32', [count, width]),
    targets: g.input('targets', 'int32', [count]),
    weights: g.input('weights', 'float32', [count]),
    count,
  };
  const matrix = g.input('weight', 'float32', [width, width]);
  const head = { weight: matrix, bias: null, hiddenSize: width, vocabularySize: width };
  const made = weightedHead(g, given, head, 3);
  g.output(g.node('Cast', [made.weightedLoss], { attributes: { to: int(1) } }), 'loss', 'float32', []);
  g.output(made.dStates, 'gradient', 'float32', [count, width]);
  const identity = Float32Array.from({ length: width * width }, (_, i) => (i % (width + 1) === 0 ? 1 : 0));
  const found: Outputs = await runGraph(g.build(), {
    states: { data: logits, dims: [count, width] },
    weight: { data: identity, dims: [width, width] },
    targets: { data: targets, dims: [count] },
    weights: { data: weights, dims: [count] },
  });
  return { loss: found['loss']!.data[0]!, gradient: found['gradient']!.data };
}

async function ranked(
  score: Float32Array,
  eligible: Float32Array,
  groups: number,
  keep: number,
): Promise<number[]> {
  const shape = [groups, score.length / groups] as const;
  const g = new GraphBuilder('ranking');
  const inputs = ['score', 'eligible'].map((name) => g.input(name, 'float32', shape)) as [string, string];
  const rule = { keepPpm: Math.round(keep * 1e6), rounding: 'floor' } as const;
  g.output(rankedWeights(g, ...inputs, shape, rule), 'weights', 'float32', shape);
  const feeds = { score: { data: score, dims: shape }, eligible: { data: eligible, dims: shape } };
  return [...(await runGraph(g.build(), feeds))['weights']!.data];
}

describe('conformance of losses', () => {
  it.each(vectors)('$name: $about', async (vector) => {
    const { expected, microbatches: batches } = vector;
    // Positions that predict: all of a row but its last; what belongs to targets begins one later.
    const logits = Float32Array.from(
      batches.flatMap((b) => b.logits.flatMap((row) => row.slice(0, -1).flat())),
    );
    const ofTargets = <T>(value: readonly (readonly (readonly T[])[])[]): T[] =>
      value.flatMap((b) => b.flatMap((row) => row.slice(1)));
    const labels = ofTargets(batches.map((b) => b.labels));
    const eligible = Float32Array.from(labels, (label) => (label === null ? 0 : 1));
    const targets = Int32Array.from(labels, (label) => label ?? 0);

    let weights = ofTargets(batches.map((b) => b.weights ?? []));
    if (vector.selection === 'live') {
      const losses = ofTargets(expected.token_loss);
      const references = ofTargets(batches.map((b) => b.reference_loss ?? []));
      const score = Float32Array.from(labels, (_, i) =>
        Math.fround(Math.fround(losses[i] ?? 0) - Math.fround(references[i] ?? 0)),
      );
      const sequences = batches.flatMap((b) => b.labels).length;
      const groups = { sequence: sequences, microbatch: batches.length, step: 1 }[vector.scope ?? 'step'];
      weights = await ranked(score, eligible, groups, vector.keep ?? 1);
      expect(weights).toEqual(ofTargets(expected.weights));
    }
    const used = Float32Array.from(weights, (weight, i) => weight * eligible[i]!);
    const divisor = (vector.normaliser === 'weights' ? used : eligible).reduce((a, b) => a + b, 0);
    expect(divisor).toBe(expected.divisor);
    const found = await headOf(logits, targets, used);
    const losses = ofTargets(expected.token_loss);
    const capped = losses.reduce<number>((sum, loss, i) => sum + used[i]! * Math.min(loss ?? 0, LIMIT), 0);
    expect(found.loss / (divisor || 1)).toBeCloseTo(capped / (divisor || 1), 4);
    if (losses.every((loss) => (loss ?? 0) < LIMIT)) {
      expect(found.loss / (divisor || 1)).toBeCloseTo(expected.loss, 5);
    }
    const wanted = expected.gradient.flatMap((b) => b.flatMap((row) => row.slice(0, -1).flat()));
    for (const [i, value] of found.gradient.entries())
      expect(value / (divisor || 1)).toBeCloseTo(wanted[i]!, 6);
  });
});
