/** What the probe of an export found, and what is refused for it. */
import { TensorProto_DataType as DataType, type GraphProto } from 'onnx-buf';
import { z } from 'zod';
import { fatalError } from '../errors.js';
import { subgraphsOf } from './onnx-export-graph.js';

const nats = z.number().min(0).nullable();

/** Gaps are the largest differences of one token's loss, in nats; null where a loss was no number. */
export interface ExportVerdict {
  /** Largest difference that is rounding: by the types that the graph computes in. */
  readonly bound: number;
  /** The same row alone and beside other rows, padded. */
  readonly batchGap: number | null;
  /** The same tokens before another end. */
  readonly endGap: number | null;
  /** The loss head's losses and those of the export's own logits. */
  readonly headGap: number | null;
  /** Whether the logits are probabilities: between 0 and 1, with the sum 1. */
  readonly probabilities: boolean;
  /** Nodes that round activations by what a whole batch holds. */
  readonly dynamicNodes: number;
  /** Rows up to `length` are right. Beyond, `value` of the graph is another; `gap` where that was run, null where too costly. */
  readonly lengthSwitch: LengthSwitchFound | null;
}

interface LengthSwitchFound {
  readonly length: number;
  readonly value: string;
  readonly gap: number | null;
}

const cached = z.object({
  bound: z.number(),
  batch_gap: nats,
  end_gap: nats,
  head_gap: nats,
  probabilities: z.boolean(),
  dynamic_nodes: z.number().int(),
  length_switch: z
    .object({ length: z.number().int(), value: z.string(), gap: z.number().nullable() })
    .nullable(),
});

/** As it is cached: JSON with names in snake case. */
export function verdictText(verdict: ExportVerdict): string {
  const { bound, batchGap, endGap, headGap, probabilities, dynamicNodes, lengthSwitch } = verdict;
  const written: z.infer<typeof cached> = {
    bound,
    batch_gap: batchGap,
    end_gap: endGap,
    head_gap: headGap,
    probabilities,
    dynamic_nodes: dynamicNodes,
    length_switch: lengthSwitch,
  };
  return JSON.stringify(written);
}

/** @throws where the text is no cached verdict */
export function parseVerdict(text: string): ExportVerdict {
  const { bound, batch_gap, end_gap, head_gap, probabilities, dynamic_nodes, length_switch } = cached.parse(
    JSON.parse(text),
  );
  return {
    bound,
    batchGap: batch_gap,
    endGap: end_gap,
    headGap: head_gap,
    probabilities,
    dynamicNodes: dynamic_nodes,
    lengthSwitch: length_switch,
  };
}

/**
 * Bounds, in nats. One token's loss differs between batches because the runtime adds up in another order for another number of
 * rows; docs/models.md has the measurements they stand on.
 */
export const bounds = { float32: 1e-3, float16: 5e-2 } as const;

/** Half precision rounds every sum to eleven bits, and flips of a last bit grow from layer to layer. */
export function boundOf(graph: GraphProto): number {
  const half = ({ initializer, node }: GraphProto): boolean =>
    initializer.some(({ dataType }) => dataType === DataType.FLOAT16 || dataType === DataType.BFLOAT16) ||
    node.some((each) => subgraphsOf(each).some(half));
  return half(graph) ? bounds.float16 : bounds.float32;
}

const dynamicOperators: readonly string[] = [
  'DynamicQuantizeLinear',
  'DynamicQuantizeMatMul',
  'DynamicQuantizeLSTM',
];

export const countDynamicNodes = ({ node }: GraphProto): number =>
  node.reduce(
    (sum, each) =>
      sum +
      (dynamicOperators.includes(each.opType) ? 1 : 0) +
      subgraphsOf(each).reduce((inner, graph) => inner + countDynamicNodes(graph), 0),
    0,
  );

/**
 * Refuses an export whose losses are not those of a row by itself.
 * @throws fatal `onnx-batch-dependent`, `onnx-probabilities`, `onnx-not-finite`, `onnx-head`
 */
export function judge(verdict: ExportVerdict, file: string): void {
  const { bound, batchGap, endGap, headGap, dynamicNodes, probabilities } = verdict;
  if (batchGap === null || endGap === null || headGap === null) {
    throw fatalError(
      'onnx-not-finite',
      `${file}: some of its losses are no numbers (NaN or infinite) on a few short rows; expected finite losses: export it in fp32`,
    );
  }
  if (probabilities) {
    throw fatalError(
      'onnx-probabilities',
      `${file}: its logits lie between 0 and 1 and add up to 1: probabilities; expected logits or their log-softmax: export it without the softmax`,
    );
  }
  if (dynamicNodes > 0 || batchGap > bound || endGap > bound) {
    const cause =
      dynamicNodes > 0
        ? `${dynamicNodes} of its nodes round activations by the range of the whole batch (dynamic quantisation)`
        : `rounding is at most ${bound}`;
    throw fatalError(
      'onnx-batch-dependent',
      `${file}: a token's loss changes by ${inNats(batchGap)} with the other rows of its batch, and by ${inNats(endGap)} with the tokens after it; ${cause}; expected a causal model whose losses depend on the row alone: use an export in fp32 or fp16, or with the weights alone quantised (MatMulNBits), or the checkpoint`,
    );
  }
  if (headGap > bound) {
    throw fatalError(
      'onnx-head',
      `${file}: its losses differ by ${inNats(headGap)} from those of its own logits; rounding is at most ${bound}; report this, and use the checkpoint`,
    );
  }
}

/** The `value` of a switch that config.json tells of and the graph does not have. */
export const frozenLongrope = 'longrope';

/** What is wrong with rows beyond the switch, in words. */
export function switchText({ length, value, gap }: LengthSwitchFound): string {
  if (value === frozenLongrope)
    return `beyond ${length} tokens the model has other rotary frequencies (longrope in config.json), which this export lacks`;
  const by = gap === null ? 'changes' : `changes by ${inNats(gap)}`;
  return `beyond ${length} tokens it computes otherwise (${value}), and the loss of a shorter row in the same batch ${by}`;
}

/** @throws fatal `onnx-length-switch` where rows of some length would not be scored as they are alone */
export function refuseUnboundedRows({ lengthSwitch }: ExportVerdict, file: string): void {
  if (lengthSwitch === null) return;
  throw fatalError(
    'onnx-length-switch',
    `${file}: ${switchText(lengthSwitch)}; expected losses that depend on the row alone: keep rows to ${lengthSwitch.length} tokens (--sequence-length ${lengthSwitch.length}), or use the checkpoint`,
  );
}

export const inNats = (gap: number): string => `${gap === 0 ? 0 : Number(gap.toPrecision(2))} nats`;
