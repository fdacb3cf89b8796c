/**
 * A model's parameters as two flat vectors, the decayed ones (matrices) and the others (norms and biases): the
 * optimiser is then one pass over each, whatever the architecture, and so are clipping and checkpoints.
 */
export type ParameterGroup = 'decayed' | 'undecayed';
export const PARAMETER_GROUPS = ['decayed', 'undecayed'] as const satisfies readonly ParameterGroup[];

/** Something for each group, made in their order. */
export const byGroup = <T>(make: (group: ParameterGroup) => T): Record<ParameterGroup, T> => ({
  decayed: make('decayed'),
  undecayed: make('undecayed'),
});

/** One tensor: elements [offset, offset + length) of its group's vector, row-major. */
export interface Parameter {
  /** As the checkpoint names it. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly group: ParameterGroup;
  readonly offset: number;
  readonly length: number;
}

/** One float32 number for every parameter, padded to `paddedLength`. */
export type ParameterVectors = Readonly<Record<ParameterGroup, Float32Array>>;

/** What a step changes: master weights and AdamW's moments, all fp32. */
export interface TrainerState {
  readonly weights: ParameterVectors;
  readonly firstMoment: ParameterVectors;
  readonly secondMoment: ParameterVectors;
  /** Of a run with loss scaling: four numbers, by `SCALER` of graph/loss-scale.ts. */
  readonly scaler?: Float64Array;
}

/** Lays tensors out in the order given; those of rank 2 and above are decayed. */
export function layOut(
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
): Parameter[] {
  const ends: Record<ParameterGroup, number> = { decayed: 0, undecayed: 0 };
  return tensors.map(({ name, shape }) => {
    const group = shape.length >= 2 ? 'decayed' : 'undecayed';
    const length = shape.reduce((product, size) => product * size, 1);
    const offset = ends[group];
    ends[group] += length;
    return { name, shape, group, offset, length };
  });
}

/** Elements of a group's vector. */
export const groupLength = (parameters: readonly Parameter[], group: ParameterGroup): number =>
  parameters.reduce((sum, parameter) => sum + (parameter.group === group ? parameter.length : 0), 0);

/** A parameter's own elements of a vector, without a copy. */
export const elementsOf = (vectors: ParameterVectors, parameter: Parameter): Float32Array =>
  vectors[parameter.group].subarray(parameter.offset, parameter.offset + parameter.length);

/** Elements that the optimiser takes at a time; a longer vector is padded with zeros to a whole number of them. */
export const CHUNK = 2 ** 16;

/** Length of the padded vector that holds `length` elements. */
export const paddedLength = (length: number): number =>
  length <= CHUNK ? length : Math.ceil(length / CHUNK) * CHUNK;

/** Shape that the graphs give a padded vector: chunks by rows, so that none is copied to be cut. */
export const vectorShape = (padded: number): readonly number[] =>
  padded <= CHUNK ? [padded] : [padded / CHUNK, CHUNK];

/** Vectors of zeros, padded. */
export const emptyVectors = (parameters: readonly Parameter[]): ParameterVectors => ({
  decayed: new Float32Array(paddedLength(groupLength(parameters, 'decayed'))),
  undecayed: new Float32Array(paddedLength(groupLength(parameters, 'undecayed'))),
});
