/** Losses under weights that are inputs: the forward pass of the model in training, for held-out loss and rankings ahead. */
import type { Decoder } from '../../model/decoder.js';
import { type Graph, GraphBuilder, type Value } from '../../onnx/graph.js';
import { byGroup, groupLength, type Parameter, paddedLength, vectorShape } from '../parameters.js';
import { microLosses } from './micro-step.js';
import type { StepGraphSettings } from './step-settings.js';
import { parameterValues, trainableWeights } from './trainable-weights.js';
import { unpackParameters } from './unpack.js';

/**
 * inputs: `decayed_weights`, `undecayed_weights` as the step graph's; `ids` [B, T] int32, with attention within
 * `positions` and `documents` too. output: `loss` [B, T − 1] float32, nats.
 */
export function buildLossGraph(
  decoder: Decoder,
  parameters: readonly Parameter[],
  settings: Pick<StepGraphSettings, 'rows' | 'length' | 'attention' | 'form' | 'float'>,
): Graph {
  const { rows, length } = settings;
  const { float = 'float32' } = settings;
  const g = new GraphBuilder('losses', { float });
  const vectors = byGroup((group) =>
    g.input(`${group}_weights`, 'float32', vectorShape(paddedLength(groupLength(parameters, group)))),
  );
  const unpacked = unpackParameters(g, parameters, vectors);
  const values = parameterValues(g, decoder, unpacked);
  const input = (name: string): Value => g.input(name, 'int32', [rows, length]);
  const ids = input('ids');
  const within = settings.attention === 'within';
  const model = {
    decoder,
    weights: (body: GraphBuilder) => trainableWeights(body, values),
    attention: settings.form,
  };
  const inputs = {
    ids,
    positionIds: within ? input('positions') : null,
    documentIds: within ? input('documents') : null,
  };
  g.output(microLosses(g, model, inputs, settings), 'loss', 'float32', [rows, length - 1]);
  return g.build();
}
