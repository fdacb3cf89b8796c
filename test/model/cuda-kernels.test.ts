import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { parsePlacement } from '#tokensieve/device/placement.js';
import { llama } from '#tokensieve/model/architectures/llama.js';
import { openCheckpoint } from '#tokensieve/model/checkpoint.js';
import type { Decoder } from '#tokensieve/model/decoder.js';
import { buildGraph } from '#tokensieve/model/prepare.js';
import { type Graph, GraphBuilder, int, subgraph } from '#tokensieve/onnx/graph.js';
import { encodeModel, toModelProto } from '#tokensieve/onnx/proto.js';
import { typesOf } from '#tokensieve/onnx/types.js';
import { buildLossGraph } from '#tokensieve/train/graph/losses.js';
import { buildStepGraph } from '#tokensieve/train/graph/step.js';
import type { Objective } from '#tokensieve/train/graph/step-settings.js';
import { parametersOf } from '#tokensieve/train/graph/trainable-weights.js';
import { allNodes } from '../support/graph-types.js';
import { goldenNames, readGolden, writeGoldenCheckpoint } from '../support/oracle/golden.js';
import { tinyLlama } from '../support/training.js';
import { computedIn } from '../support/training-run.js';

// Every operator of the graphs for CUDA, with the types of its inputs, has a CUDA kernel: kernels.json lists those that the
// provider of ONNX Runtime 1.29.0 took when it opened these graphs. The list is made anew, and held against
// the committed one, where CUDA_RUNTIME names a folder of onnxruntime-node with a CUDA provider that loads
// (fixtures/cuda-kernels/README.md).
const here = fileURLToPath(new URL('../../fixtures/cuda-kernels/', import.meta.url));
const runtime = process.env['CUDA_RUNTIME'];
const { kernels } = JSON.parse(readFileSync(join(here, 'kernels.json'), 'utf8')) as { kernels: string[] };

const scratch = mkdtempSync(join(tmpdir(), 'cuda-kernels-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** `opset domain.operator(types of the inputs)` of every node, by the name that the node has in the file. */
function signatures(graph: Graph): ReadonlyMap<string, string> {
  const types = typesOf(graph);
  return new Map(
    allNodes(graph).map(({ op, domain, inputs, outputs }) => {
      const given = inputs.map((input) => (input === null ? '-' : (types.get(input) ?? '?')));
      // As many inputs of one type as there are parts.
      const listed = op === 'Concat' ? [`${given[0]}…`] : given;
      const operators = domain === '' ? `onnx-${graph.opset ?? 19}` : domain;
      return [outputs.find((output) => output !== null) ?? '', `${operators} ${op}(${listed})`];
    }),
  );
}

async function scoringGraphs(name: string): Promise<Graph[]> {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  writeGoldenCheckpoint(readGolden(name), folder);
  const checkpoint = await openCheckpoint(folder);
  const graphs: Graph[] = [];
  for (const precision of ['fp32', 'fp16', 'bf16'] as const) {
    for (const attention of ['across', 'within'] as const) {
      for (const headProduct of ['float32', 'mixed'] as const) {
        const batch = { rows: 2, length: 24 };
        const settings = {
          device: 'cuda',
          precision,
          attention,
          batch,
          headProduct,
          entropy: true,
          greedy: true,
        } as const;
        graphs.push(buildGraph(checkpoint, settings).graph);
      }
    }
  }
  return graphs;
}

const rule = { keepPpm: 600_000, rounding: 'floor' } as const;
const objectives: readonly Objective[] = [
  { kind: 'clm' },
  { kind: 'frozen' },
  ...(['sequence', 'microbatch', 'step'] as const).map((scope) => ({ kind: 'live', scope, rule }) as const),
];

const missing = (graphs: readonly Graph[]): string[] => {
  const found = new Set(graphs.flatMap((graph) => [...signatures(graph).values()]));
  return [...found].filter((signature) => !kernels.includes(signature));
};

/** In 16 bits; rows of 520 go by blocks whose shares are computed again. */
function halfTrainingGraphs(decoder: Decoder, lengths: readonly number[]): Graph[] {
  const parameters = parametersOf(decoder);
  const objectives16 = [
    [{ kind: 'clm' }, 1],
    [{ kind: 'live', scope: 'sequence', rule }, 1],
    [{ kind: 'live', scope: 'step', rule }, 2],
  ] as const;
  return (['bf16', 'fp16'] as const).flatMap((precision) =>
    (['across', 'within'] as const).flatMap((attention) =>
      lengths.flatMap((length) => {
        const shared = {
          ...{ rows: 2, length, attention, divisor: 'weight' as const, clip: 1 },
          ...{ adamw: { beta1: 0.9, beta2: 0.95 }, ...computedIn(precision) },
        } as const;
        return [
          buildLossGraph(decoder, parameters, shared),
          ...objectives16.map(([objective, accumulate]) => {
            const severalSteps = accumulate > 1;
            return buildStepGraph(decoder, parameters, {
              ...shared,
              objective,
              accumulate,
              severalSteps,
            });
          }),
        ];
      }),
    ),
  );
}

function trainingGraphs(decoder: Decoder): Graph[] {
  const parameters = parametersOf(decoder);
  return (['across', 'within'] as const).flatMap((attention) => {
    const shared = {
      rows: 2,
      length: 24,
      attention,
      divisor: 'weight',
      adamw: { beta1: 0.9, beta2: 0.95 },
      clip: 1,
      form: 'plain',
    } as const;
    return [
      buildLossGraph(decoder, parameters, shared),
      ...objectives.flatMap((objective) =>
        [1, 2].map((accumulate) =>
          buildStepGraph(decoder, parameters, {
            ...shared,
            objective,
            accumulate,
            severalSteps: accumulate > 1,
          }),
        ),
      ),
    ];
  });
}

/** Architectures that between them have every operator, for training. */
const trained = [
  'llama-gqa-tied',
  'llama-large-vocabulary',
  'qwen3',
  'gpt2',
  'gpt-neox-parallel',
  'mistral-window',
];

/** Long rows too, for one. */
const lengthsOf = (name: string): number[] => (name === trained[0] ? [24, 520] : [24]);

describe('every operator has a CUDA kernel for its types', () => {
  it.each(goldenNames())('in scoring %s', async (name) => {
    const graphs = await scoringGraphs(name);
    expect(new Set(graphs.flatMap((graph) => [...signatures(graph).values()])).size).toBeGreaterThan(40);
    expect(missing(graphs)).toEqual([]);
  });

  it.each(trained)('in training %s', async (name) => {
    const folder = join(scratch, `train-${name}`);
    writeGoldenCheckpoint(readGolden(name), folder);
    const { decoder } = await openCheckpoint(folder);
    const half = halfTrainingGraphs(decoder, lengthsOf(name));
    for (const graphs of [trainingGraphs(decoder), half]) {
      expect(new Set(graphs.flatMap((graph) => [...signatures(graph).values()])).size).toBeGreaterThan(60);
      expect(missing(graphs)).toEqual([]);
    }
    // In 16 bits: forward and backward of the body are what is held against the list.
    const products = half.flatMap((graph) => [...signatures(graph).values()]);
    for (const type of ['bfloat16', 'float16']) {
      expect(products).toContain(`onnx-19 Gemm(${type},${type})`);
    }
  });

  // Three that the provider has no kernel for, two of them inside loops: a graph as the CPU gets it, and one made by hand.
  it('notices one that has none', () => {
    const decoder = llama.build(tinyLlama, 'tiny');
    const shape = { rows: 2, length: 24, attention: 'across', form: 'fused' } as const;
    const forCpu = buildLossGraph(decoder, parametersOf(decoder), shape);
    const g = new GraphBuilder('padded');
    const body = g.child('body');
    const state = body.input('state', 'int32', [4]);
    body.output(body.node('Pad', [state, body.int64s([0, 0])]), 'padded', 'int32', [4]);
    const [last = ''] = g.nodes('Scan', [g.input('x', 'int32', [4]), g.input('y', 'int32', [2, 4])], [true], {
      attributes: { num_scan_inputs: int(1), body: subgraph(body.build()) },
    });
    const half = g.node('Cast', [last], { attributes: { to: int(16) } });
    g.output(g.node('Greater', [half, half]), 'greater', 'bool', [4]);
    const unknown = missing([forCpu, g.build()]);
    expect(unknown).toContainEqual(expect.stringContaining('GroupQueryAttention(float32,float32,float32'));
    expect(unknown).toContain('onnx-19 Pad(int32,int64)');
    expect(unknown).toContain('onnx-19 Greater(bfloat16,bfloat16)');
  });
});

if (runtime === undefined) console.log('skipped: no CUDA_RUNTIME, the list of CUDA kernels is not made anew');

it.skipIf(runtime === undefined)(
  'the CUDA provider takes every node of these graphs',
  { timeout: 1_800_000 },
  async () => {
    const taken = new Set<string>();
    for (const name of goldenNames()) {
      const { decoder } = await openCheckpoint(join(scratch, name)).catch(async () => {
        writeGoldenCheckpoint(readGolden(name), join(scratch, name));
        return openCheckpoint(join(scratch, name));
      });
      // Shapes are computed in training graphs until they are folded; nothing is, in graphs for scoring.
      const groups = [
        ['disabled', await scoringGraphs(name)],
        [
          'all',
          trained.includes(name)
            ? [...trainingGraphs(decoder), ...halfTrainingGraphs(decoder, lengthsOf(name))]
            : [],
        ],
      ] as const;
      for (const [level, graphs] of groups) {
        const files = graphs.map((graph, index) => {
          const file = join(scratch, name, `${level}-${index}.onnx`);
          writeFileSync(file, encodeModel(toModelProto(graph)));
          for (const signature of signatures(graph).values()) taken.add(signature);
          return file;
        });
        const opened = spawnSync(process.execPath, [join(here, 'open.mjs'), runtime ?? '', level, ...files], {
          encoding: 'utf8',
          maxBuffer: 2 ** 30,
        });
        expect(opened.status, opened.stderr.slice(-2000)).toBe(0);
        const lines = opened.stderr
          .split('\n')
          .filter((line) => line.includes('VerifyEachNodeIsAssignedToAnEp'));
        expect(lines.filter((line) => line.includes('CUDAExecutionProvider')).length).toBeGreaterThanOrEqual(
          files.length,
        );
        expect(parsePlacement(lines), `${name}, optimisation ${level}`).toEqual([]);
      }
    }
    const sorted = [...taken].sort();
    if (process.env['UPDATE'] !== undefined) {
      const source =
        'ONNX Runtime 1.29.0, CUDA provider for CUDA 13: nodes it took when sessions of these graphs were opened';
      writeFileSync(join(here, 'kernels.json'), `${JSON.stringify({ source, kernels: sorted }, null, 2)}\n`);
    } else expect(sorted).toEqual(kernels);
  },
);
