/**
 * How many tokens change sides at keep 0.6 when the pair is scored in 16 bits, by emulation on the CPU (src/onnx/emulate.ts): the graphs for
 * CUDA with every 16-bit value rounded, and the same with some values left in float32, to see which rounding it comes from.
 *
 *   npm run build && node bench/flips.mjs --reference FOLDER --current FOLDER --data FOLDER [--rows 32] [--threads 1]
 *     [--only bf16,fp16,…]
 *
 * FOLDER of --data: scored, weighted or packed parts; their first rows are taken. The models: Llama family, with a tokenizer.
 * Flips are counted twice: against fp32 of the weights as they are, and against fp32 of weights rounded to the type, which
 * is what counts for a checkpoint that is stored in it.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { openCheckpoint } from '../dist/model/checkpoint.js';
import { buildGraph } from '../dist/model/prepare.js';
import { emulated } from '../dist/onnx/emulate.js';
import { encodeModel, toModelProto } from '../dist/onnx/proto.js';
import { localStorage } from '../dist/storage/local.js';
import { openTrainingData, startOf } from '../dist/train/data/open.js';

const KEEP = 0.6;
const ROWS_A_CALL = 8;

const { values } = parseArgs({
  options: {
    reference: { type: 'string' },
    current: { type: 'string' },
    data: { type: 'string' },
    rows: { type: 'string', default: '32' },
    threads: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
});
if (!values.reference || !values.current || !values.data) {
  console.error('usage: node bench/flips.mjs --reference FOLDER --current FOLDER --data FOLDER');
  process.exit(2);
}

const skips = new Set(['SkipSimplifiedLayerNormalization', 'SkipLayerNormalization']);

/** What is left in float32, by a graph of one precision: (node, output) → whether the value is rounded all the same. */
const VARIANTS = {
  whole: () => () => true,
  'residual stream fp32':
    ({ embeds }) =>
    (node, output) =>
      !(skips.has(node.op) && output === node.outputs[3]) && !embeds.has(output),
  'final norm fp32':
    ({ lastSkip }) =>
    (_, output) =>
      output !== lastSkip.outputs[0],
  'residual stream and final norm fp32': (parts) => (node, output) =>
    VARIANTS['residual stream fp32'](parts)(node, output) && VARIANTS['final norm fp32'](parts)(node, output),
  'last layer fp32':
    ({ fromLayer }) =>
    (_, output) =>
      !fromLayer(1).has(output),
  'last two layers fp32':
    ({ fromLayer }) =>
    (_, output) =>
      !fromLayer(2).has(output),
  'rotary tables fp32': () => () => true,
  'attention’s output fp32': () => (node) => node.op !== 'GroupQueryAttention',
  'queries keys values fp32':
    ({ packed }) =>
    (_, output) =>
      !packed.has(output),
  'mlp’s activation fp32': () => (node) => node.op !== 'QuickGelu' && node.op !== 'Mul',
  'branches’ outputs fp32':
    ({ branches }) =>
    (_, output) =>
      !branches.has(output),
};

/** Values of a scoring graph by what they are. */
function partsOf(graph) {
  const madeBy = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node])));
  const initializers = new Set(graph.initializers.map(({ name }) => name));
  const skipNodes = graph.nodes.filter(({ op }) => skips.has(op));
  const [firstSkip] = skipNodes;
  const back = (value, op) => {
    for (let node = madeBy.get(value); node !== undefined; node = madeBy.get(node.inputs[0]))
      if (node.op === op) return node;
  };
  return {
    lastSkip: skipNodes.at(-1),
    // The stream's beginning: rows of the embedding, cast.
    embeds: new Set([firstSkip.inputs[1]]),
    packed: new Set(
      graph.nodes
        .filter(({ op }) => op === 'GroupQueryAttention')
        .map(({ inputs }) => back(inputs[0], 'Gemm').outputs[0]),
    ),
    branches: new Set(skipNodes.map(({ inputs }) => back(inputs[0], 'Gemm').outputs[0])),
    /** Everything but the weights' own rounding from the k-th last layer on. */
    fromLayer: (k) => {
      const start = graph.nodes.indexOf(skipNodes.at(-2 * k - 1) ?? graph.nodes[0]);
      const own = graph.nodes
        .slice(start + 1)
        .filter((node) => !(node.op === 'Cast' && initializers.has(node.inputs[0])));
      return new Set(own.flatMap(({ outputs }) => outputs));
    },
    initializers,
  };
}

const work = mkdtempSync(join(tmpdir(), 'tokensieve-flips-'));
let files = 0;

/** Losses of all rows under a graph, [rows · (T − 1)]. */
async function lossesOf({ graph, weightsFolder }, ids, length) {
  const file = join(work, `${files++}.onnx`);
  writeFileSync(file, encodeModel(toModelProto(graph)));
  const session = await ort.InferenceSession.create(file, {
    intraOpNumThreads: Number(values.threads),
    logSeverityLevel: 3,
    extra: { session: { model_external_initializers_file_folder_path: weightsFolder } },
  });
  const rows = ids.length / length;
  const losses = new Float32Array(rows * (length - 1));
  for (let row = 0; row < rows; row += ROWS_A_CALL) {
    const part = ids.slice(row * length, (row + ROWS_A_CALL) * length);
    const { loss } = await session.run({ input_ids: new ort.Tensor('int32', part, [ROWS_A_CALL, length]) });
    losses.set(loss.data, row * (length - 1));
  }
  await session.release();
  return losses;
}

async function firstRows() {
  const rows = Math.ceil(Number(values.rows) / ROWS_A_CALL) * ROWS_A_CALL;
  const settings = { sources: [{ path: values.data, ratio: 1 }], seed: 0, shuffle_tokens: 0 };
  const data = await openTrainingData(localStorage(), settings, { rows, accumulate: 1, steps: 1 });
  for await (const { batch } of data.steps(startOf(data.description))) {
    const { length } = data.description;
    const targets = [];
    for (let row = 0; row < rows; row++)
      for (let t = 1; t < length; t++)
        if (batch.eligible[row * length + t] === 1) targets.push(row * (length - 1) + t - 1);
    return { ids: batch.ids, length, targets };
  }
}

/** Indices of the tokens kept: the highest excess, ties to the earlier. */
function keptOf({ reference, current }, targets) {
  const excess = (i) => current[i] - reference[i];
  const order = [...targets].sort((a, b) => excess(b) - excess(a) || a - b);
  return new Set(order.slice(0, Math.floor(KEEP * targets.length)));
}

function compared(losses, exact, targets) {
  const [here, there] = [keptOf(losses, targets), keptOf(exact, targets)];
  const gaps = targets.map((i) => Math.abs(losses.reference[i] - exact.reference[i])).sort((a, b) => a - b);
  return {
    flips: targets.filter((i) => here.has(i) !== there.has(i)).length / targets.length,
    mean: gaps.reduce((a, b) => a + b, 0) / gaps.length,
    p999: gaps[Math.floor(0.999 * gaps.length)],
  };
}

try {
  const { ids, length, targets } = await firstRows();
  const folders = { reference: values.reference, current: values.current };
  const batch = { rows: ROWS_A_CALL, length };
  /** @param tables whether rotary tables are float32 */
  const pair = async (precision, rewrite, tables = false) => {
    const losses = {};
    for (const [role, folder] of Object.entries(folders)) {
      const build = async (wanted) =>
        buildGraph(await openCheckpoint(folder), {
          ...{ device: 'cuda', attention: 'across', entropy: false, precision: wanted, batch },
        });
      const built = await build(precision);
      const exactTables = tables ? (await build('fp32')).graph.initializers : [];
      const initializers = built.graph.initializers.map(
        (one) => (one.name.startsWith('rotary.') && exactTables.find(({ name }) => name === one.name)) || one,
      );
      losses[role] = await lossesOf(
        { ...built, graph: rewrite({ ...built.graph, initializers }) },
        ids,
        length,
      );
    }
    return losses;
  };
  const exact = await pair('fp32', (graph) => graph);
  console.error(`${targets.length} targets in rows of ${length}`);
  const only = values.only?.split(',');
  for (const precision of ['bf16', 'fp16']) {
    const rounding = (choose) => (graph) => emulated(graph, choose(partsOf(graph)));
    // Weights rounded, nothing else.
    const stored = await pair(
      precision,
      rounding(
        ({ initializers }) =>
          (node) =>
            node.op === 'Cast' && initializers.has(node.inputs[0]),
      ),
      true,
    );
    for (const [name, choose] of Object.entries(VARIANTS)) {
      if (only !== undefined && !only.includes(name) && name !== 'whole') continue;
      if (precision === 'fp16' && name !== 'whole') continue;
      const losses = await pair(precision, rounding(choose), name.includes('rotary'));
      const record = {
        ...{ precision, variant: name, targets: targets.length },
        ...compared(losses, exact, targets),
        flips_weights_stored: compared(losses, stored, targets).flips,
      };
      console.log(JSON.stringify(record));
    }
    console.log(JSON.stringify({ precision, variant: 'weights alone', ...compared(stored, exact, targets) }));
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
