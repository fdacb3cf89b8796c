/**
 * Reverse-mode differentiation of a graph under construction. While a builder records, every op notes how
 * gradients flow back through it; walking the notes from the last to the first adds the backward nodes to the same
 * graph. Recording at the level of our ops, not of ONNX nodes, lets a forward use fused operators that have no
 * gradient of their own.
 */
import { fatalError } from '../errors.js';
import type { GraphBuilder, Recorded, Value } from './graph.js';
import { add } from './ops/dense.js';

/**
 * Adds the backward pass of what `g` has recorded.
 * @param seeds gradients of the objective by value, of the values' own shapes
 * @param wanted values whose gradients are asked for, parameters say
 * @returns a gradient for each of `wanted`, of its shape
 * @throws fatal `no-gradient` when a wanted value does not reach the seeds: the graph's own mistake
 */
export function gradientsOf(
  g: GraphBuilder,
  seeds: ReadonlyMap<Value, Value>,
  wanted: readonly Value[],
): Value[] {
  // The backward pass is not recorded: walk a copy, and drop what its own ops note.
  const tape = [...(g.tape ?? [])];
  const active = reachable(tape, wanted);
  const gradients = new Map<Value, Value[]>([...seeds].map(([value, seed]) => [value, [seed]]));
  const take = (value: Value): Value | null => {
    const parts = gradients.get(value);
    if (parts === undefined) return null;
    const sum = parts.reduce((a, b) => add(g, a, b));
    gradients.set(value, [sum]);
    return sum;
  };
  for (const step of tape.toReversed()) {
    if (!step.inputs.some((input) => active.has(input))) continue;
    if (!step.outputs.some((output) => gradients.has(output))) continue;
    const flowing = step.gradient(step.outputs.map(take));
    step.inputs.forEach((input, index) => {
      const gradient = flowing[index] ?? null;
      if (gradient === null || !active.has(input)) return;
      const parts = gradients.get(input);
      if (parts === undefined) gradients.set(input, [gradient]);
      else parts.push(gradient);
    });
  }
  g.tape?.splice(tape.length);
  return wanted.map((value) => {
    const gradient = take(value);
    if (gradient !== null) return gradient;
    throw fatalError('no-gradient', `the graph's value ${value} does not reach the objective; report this`);
  });
}

/** Every value that depends on one of `roots`, the roots included. */
function reachable(tape: readonly Recorded[], roots: readonly Value[]): ReadonlySet<Value> {
  const reached = new Set(roots);
  for (const { inputs, outputs } of tape) {
    if (inputs.some((input) => reached.has(input))) for (const output of outputs) reached.add(output);
  }
  return reached;
}
