/** Between a group's flat vector and its parameters' own tensors. */
import { type GraphBuilder, given, int, type Value } from '../../onnx/graph.js';
import { widen } from '../../onnx/ops/cast.js';
import {
  byGroup,
  groupLength,
  PARAMETER_GROUPS,
  type Parameter,
  type ParameterGroup,
  paddedLength,
} from '../parameters.js';

/** The parameters' own tensors, cut from the flat vectors, by name. */
export function unpackParameters(
  g: GraphBuilder,
  parameters: readonly Parameter[],
  vectors: Readonly<Record<ParameterGroup, Value>>,
): Map<string, Value> {
  const unpacked = new Map<string, Value>();
  for (const group of PARAMETER_GROUPS) {
    const members = parameters.filter((parameter) => parameter.group === group);
    const length = groupLength(parameters, group);
    const widths = members.map((parameter) => parameter.length);
    const padding = paddedLength(length) - length;
    const sizes = padding > 0 ? [...widths, padding] : widths;
    const pieces = g.nodes(
      'Split',
      [g.node('Reshape', [vectors[group], g.int64s([-1])]), g.int64s(sizes)],
      sizes.map(() => true as const),
      {
        attributes: { axis: int(0) },
      },
    );
    members.forEach(({ name, shape }, index) => {
      unpacked.set(name, g.node('Reshape', [given(pieces[index], name), g.int64s(shape)]));
    });
  }
  return unpacked;
}

/** Gradients in the order of `parameters`, of the body's float type or float32 → one padded float32 vector a group. */
export function packGradients(
  g: GraphBuilder,
  parameters: readonly Parameter[],
  gradients: readonly Value[],
): Record<ParameterGroup, Value> {
  const pack = (group: ParameterGroup): Value => {
    const flat = parameters.flatMap((parameter, index) =>
      parameter.group === group
        ? [
            widen(
              g,
              g.node('Reshape', [given(gradients[index], `gradient of ${parameter.name}`), g.int64s([-1])]),
            ),
          ]
        : [],
    );
    const length = groupLength(parameters, group);
    const padding = paddedLength(length) - length;
    const zeros = padding > 0 ? [g.node('ConstantOfShape', [g.int64s([padding])])] : [];
    return g.node('Concat', [...flat, ...zeros], { attributes: { axis: int(0) } });
  };
  return byGroup(pack);
}

/** Lengths of the padded vectors. */
export const packedLengths = (parameters: readonly Parameter[]): Record<ParameterGroup, number> =>
  byGroup((group) => paddedLength(groupLength(parameters, group)));

/** Entry `index` of the first axis. */
export const element = (g: GraphBuilder, x: Value, index: number): Value =>
  g.node('Gather', [x, g.int64(index)]);
