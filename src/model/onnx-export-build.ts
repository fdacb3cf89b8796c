/** The scoring graph of an export: inputs made from `input_ids`, the cache gone, the loss head for its logits. */
import { create } from '@bufbuild/protobuf';
import {
  TensorProto_DataType as DataType,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  type NodeProto,
} from 'onnx-buf';
import { fatalError } from '../errors.js';
import { GraphBuilder, int, type Value } from '../onnx/graph.js';
import { chunkedLosses } from '../onnx/ops/head.js';
import { toGraphProto } from '../onnx/proto.js';
import type { HashedFile } from './model-file.js';
import { type ExportFile, opsetOf } from './onnx-export-file.js';
import { liveNodes, namesOf, renameValues, usesOf } from './onnx-export-graph.js';
import { classifyInputs, dropFusedCaches, makeInputs } from './onnx-export-inputs.js';
import { cutLogits } from './onnx-export-logits.js';
import { nameNodesApart } from './onnx-export-normal.js';
import { lowerGraph } from './onnx-export-opset.js';
import type { ModelInfo } from './prepared-model.js';

/** The output of the export's own logits, float32 [B, T, V]: for the probe alone. */
export const rawLogits: Value = 'export_logits';

/** Names that the calling convention of `PreparedModel` takes, whatever an export calls its own values. */
const reserved: readonly Value[] = ['input_ids', 'loss', 'entropy', 'greedy', rawLogits];

export interface ExportGraphs {
  /** By the calling convention of `PreparedModel`. */
  readonly scoring: GraphProto;
  /** Outputs `loss` and `rawLogits`; or the logits alone, which run where the loss head does not fit them. */
  readonly probe: GraphProto;
  readonly logits: GraphProto;
  readonly vocabularySize: number;
}

/** An export taken apart, with the graphs made of it. */
export interface OpenedExport {
  readonly file: ExportFile;
  readonly graphs: ExportGraphs;
  readonly info: ModelInfo;
  /** Its files, hashed. */
  readonly files: readonly HashedFile[];
  /** A graph of its nodes as a model: with its operator sets and functions. */
  modelOf(graph: GraphProto): ModelProto;
}

/**
 * @param file whose graph is taken apart for it: good for one call
 * @throws fatal `onnx-*` errors of inputs and of logits.
 */
export function buildExportGraphs(
  { model, path, config }: ExportFile,
  { entropy, greedy }: { readonly entropy: boolean; readonly greedy: boolean },
): ExportGraphs {
  const trunk = model.graph;
  if (trunk === undefined) throw fatalError('onnx-unreadable', `${path}: holds no graph; export it again`);
  const names = new Map([...namesOf(trunk), ...reserved].map((name) => [name, 1]));
  const before = new GraphBuilder('tokensieve', { names: names });
  const after = new GraphBuilder('loss', { names: names });

  const inputs = classifyInputs(trunk, path);
  const fed = new Set(inputs.map(({ name }) => name));
  const clashes = reserved.filter((name) => !fed.has(name));
  renameValues(trunk, new Map(clashes.map((name) => [name, before.fresh(`export.${name}`)])));
  const cut = cutLogits(trunk, path, config.vocabularySize);
  const unused = dropFusedCaches(trunk, inputs);

  // The graph's own inputs and outputs go by exactly these names; nothing of the export does any more.
  for (const name of reserved) names.delete(name);
  const ids = before.input('input_ids', 'int32', ['batch', 'length']);
  const needed = inputs.filter(({ name }) => !unused.has(name));
  renameValues(trunk, makeInputs(before, ids, needed, { file: path, config }));
  const { source, vocabularySize } = cut;
  const losses = chunkedLosses(after, { states: cut.states, ids }, source, vocabularySize, {
    entropy,
    greedy,
  });
  after.output(losses.loss, 'loss', 'float32', ['batch', 'targets']);
  if (losses.entropy !== null) after.output(losses.entropy, 'entropy', 'float32', ['batch', 'targets']);
  if (losses.greedy !== null) after.output(losses.greedy, 'greedy', 'float32', ['batch', 'targets']);
  const widened = after.node('Cast', [cut.logits], { attributes: { to: int(DataType.FLOAT) } });
  after.output(widened, rawLogits, 'float32', ['batch', 'length', vocabularySize]);

  const opset = opsetOf(model);
  const head = toGraphProto(lowerGraph(before.build(), opset));
  const tail = toGraphProto(lowerGraph(after.build(), opset));
  const nodes = [...head.node, ...trunk.node, ...tail.node];
  nameNodesApart(nodes);
  const whole = {
    ...head,
    node: nodes,
    initializer: [head, trunk, tail].flatMap((part) => part.initializer),
  };
  const outputs = (wanted: (name: Value) => boolean): GraphProto =>
    pruned({ ...whole, output: tail.output.filter(({ name }) => wanted(name)) });
  return {
    scoring: outputs((name) => name !== rawLogits),
    probe: outputs((name) => name === 'loss' || name === rawLogits),
    logits: outputs((name) => name === rawLogits),
    vocabularySize,
  };
}

/** The graph with nothing but what its outputs need. */
export function pruned({ input, output, node: all, initializer }: GraphProto): GraphProto {
  const node: NodeProto[] = liveNodes(
    all,
    output.map(({ name }) => name),
  );
  const read = new Set(node.flatMap(usesOf));
  const kept = initializer.filter(({ name }) => read.has(name));
  return create(GraphProtoSchema, { name: 'tokensieve', input, output, node, initializer: kept });
}
