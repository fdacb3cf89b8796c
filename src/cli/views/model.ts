import { basename } from 'node:path';
import { FLOPS_CONTEXT, type ModelInspection } from '../../inspect/model-folder.js';
import type { OnnxInspection, OnnxValue } from '../../inspect/onnx.js';
import type { SafetensorsInspection } from '../../inspect/safetensors.js';
import type { TokenizerInspection } from '../../inspect/tokenizer.js';
import { inNats, switchText } from '../../model/onnx-export-verdict.js';
import { bytes, count, table } from '../format.js';
import { cell, facts, firstRows, pathCell, screen } from './screen.js';

export function safetensorsText(found: SafetensorsInspection): string {
  const more = found.tensors - found.largest.length;
  return screen([
    `safetensors ${pathCell(found.path)}`,
    facts([
      ['tensors', String(found.tensors)],
      ['parameters', count(found.parameters)],
      ['size', bytes(found.bytes)],
      ...found.types.map((share): [string, string] => [
        share.type,
        `${share.tensors} tensors, ${count(share.parameters)} parameters, ${bytes(share.bytes)}`,
      ]),
    ]),
    table([
      ['largest', 'type', 'shape', 'size'],
      ...found.largest.map(({ name, type, shape, bytes: size }) => [
        cell(name),
        type,
        `[${shape.join(', ')}]`,
        bytes(size),
      ]),
    ]),
    more > 0 ? `… and ${more} more` : '',
  ]);
}

export function onnxText(found: OnnxInspection): string {
  return screen([`ONNX model ${pathCell(found.path)}`, onnxFacts(found), onnxTables(found)]);
}

function onnxFacts(found: OnnxInspection): string {
  const opsets = Object.entries(found.opsets).map(([domain, version]) => `${cell(domain)} ${version}`);
  const types = found.initializers.types.map(({ type, parameters }) => `${type} ${count(parameters)}`);
  const files = found.externalFiles.map(({ location, tensors }) => `${cell(location)} (${tensors} tensors)`);
  return facts([
    ['IR version', String(found.irVersion)],
    ['operator sets', opsets.slice(0, 8).join(', ')],
    ['producer', found.producer === '' ? 'unknown' : cell(found.producer)],
    [
      'initialisers',
      `${found.initializers.count}, ${count(found.initializers.parameters)} elements (${types.slice(0, 6).join(', ') || 'none'})`,
    ],
    ['weight files', files.length === 0 ? 'none, all inside' : files.slice(0, 4).join(', ')],
    [
      'nodes',
      `${found.nodes}: ${found.operators
        .slice(0, 10)
        .map(({ operator, nodes }) => `${cell(operator, 40)} ${nodes}`)
        .join(', ')}${found.operators.length > 10 ? ', …' : ''}`,
    ],
  ]);
}

function onnxTables({ inputs, outputs }: OnnxInspection): string {
  const rows = (values: readonly OnnxValue[]): string[][] =>
    values.map(({ name, type, shape }) => [
      cell(name, 48),
      type,
      shape === null ? 'any shape' : `[${shape.map((size) => cell(String(size), 32)).join(', ')}]`,
    ]);
  return [
    table([['input', 'type', 'shape'], ...firstRows(rows(inputs), 8)]),
    table([['output', 'type', 'shape'], ...firstRows(rows(outputs), 6)]),
  ].join('\n\n');
}

export function tokenizerText(found: TokenizerInspection): string {
  const list = (names: readonly string[]): string =>
    names.length === 0
      ? 'none'
      : firstRows(
          names.map((name) => [cell(name, 40)]),
          10,
        )
          .map(([name]) => name)
          .join(', ');
  return screen([
    `tokenizer ${pathCell(found.path)}`,
    facts([
      [
        'model',
        `${found.model}, ${count(found.pieces)} pieces, ${count(found.merges)} merges${found.byteFallback ? ', byte fallback' : ''}`,
      ],
      ['vocabulary', `${found.vocabularySize} ids`],
      ['class', `${found.class} of transformers 5`],
      ['BOS', `${found.bosId ?? 'none'}: ${cell(found.bosSource, 100)}`],
      ['EOS', `${found.eosId ?? 'none'}: ${cell(found.eosSource, 100)}`],
      ['normalizer', list(found.normalizer)],
      ['pre-tokenizer', list(found.preTokenizer)],
      ['added tokens', list(found.addedTokens)],
      ['text, not control', list(found.controlTokens)],
      [
        'engine',
        found.portableRefusal === null
          ? `${found.engine} here; the portable one gives the same ids`
          : `${found.engine} only: ${cell(found.portableRefusal, 110)}`,
      ],
      ['hash', found.hash],
    ]),
  ]);
}

export function modelText(found: ModelInspection): string {
  const { shape, graph } = found;
  const known = (value: number | null): string => (value === null ? '?' : String(value));
  const layers =
    shape.layers === null
      ? null
      : `${shape.layers} of ${known(shape.hiddenSize)} hidden, ${known(shape.innerSize)} inside`;
  const heads =
    shape.heads === null
      ? null
      : `${shape.heads} query, ${known(shape.kvHeads)} key-value, of ${known(shape.headSize)}`;
  return screen([
    `model ${pathCell(found.path)} (${found.form === 'checkpoint' ? 'Hugging Face checkpoint' : 'ONNX export'})`,
    facts([
      ['architecture', cell(found.architecture)],
      ['parameters', `${count(found.parameters)}, ${found.weightType}, ${bytes(found.weightBytes)}`],
      ['vocabulary', `${found.vocabularySize} logits`],
      ['positions', positionsText(found)],
      ['layers', layers],
      ['heads', heads],
      ['sliding window', shape.slidingWindow === null ? null : `${shape.slidingWindow} tokens`],
      ['rotary positions', shape.rope],
      [
        'output embedding',
        shape.tiedHead === null ? null : shape.tiedHead ? "tied to the input's" : 'its own',
      ],
      ['FLOPs a token', flopsText(found)],
      ...tensorFacts(found),
      ['memory on CPU', `${bytes(found.cpuWeightBytes)} of weights in fp32, batches on top`],
      ['tokenizer', found.hasTokenizer ? 'tokenizer.json in the folder' : 'none in the folder'],
      ['fields that change nothing', found.ignoredFields?.map((name) => cell(name, 60)).join(', ') || null],
      ...probeFacts(found),
      ['hash', found.hash],
    ]),
    ...(found.warnings ?? []).map((warning) => `warning: ${warning}`),
    ...(graph === null ? [] : [onnxFacts(graph), onnxTables(graph)]),
  ]);
}

function positionsText({ maxPositions, longestRow }: ModelInspection): string {
  if (maxPositions === null) return 'unbounded';
  return longestRow == null
    ? String(maxPositions)
    : `${maxPositions}: longrope takes other frequencies for longer rows, which is not computed`;
}

/** What became of the tensors that the graph does not read. */
function tensorFacts({ tensors }: ModelInspection): [string, string][] {
  if (tensors === undefined) return [];
  const listed = (names: readonly string[]): string =>
    `${names.length}: ${names
      .slice(0, 4)
      .map((name) => cell(name, 56))
      .join(', ')}${names.length > 4 ? ', …' : ''}`;
  const rows: [string, readonly string[]][] = [
    ['not used', tensors.unused],
    ['buffers, not read', tensors.buffers],
    ['saved twice', tensors.copies],
    ['files not read', tensors.unreadFiles],
  ];
  return [
    ['tensors', `${tensors.used} used`],
    ...rows.flatMap(([name, names]): [string, string][] => (names.length > 0 ? [[name, listed(names)]] : [])),
  ];
}

/** Which file was taken of several, and what its losses depend on. */
function probeFacts({ probed }: ModelInspection): [string, string | null][] {
  if (probed === null) return [];
  const { path, others, verdict } = probed;
  const { batchGap, endGap, bound, lengthSwitch } = verdict;
  return [
    [
      'file',
      `${cell(basename(path))}${others.length === 0 ? '' : `; not taken: ${cell(others.map((each) => basename(each)).join(', '), 110)}`}`,
    ],
    [
      'probe',
      `a loss changes by ${inNats(batchGap ?? 0)} with other rows, ${inNats(endGap ?? 0)} with later tokens; ${inNats(bound)} would be too much`,
    ],
    [
      'rows',
      lengthSwitch === null ? null : `${lengthSwitch.length} tokens at most: ${switchText(lengthSwitch)}`,
    ],
  ];
}

function flopsText({
  flopsAtContext,
  flopsPerToken: { matmul, attentionPerContextToken },
}: ModelInspection): string {
  const parts =
    attentionPerContextToken === 0
      ? `${count(matmul)} matmul; attention is not counted, no configuration tells the layers`
      : `${count(matmul)} matmul, ${count(attentionPerContextToken * FLOPS_CONTEXT)} attention`;
  return `${count(flopsAtContext)} at ${FLOPS_CONTEXT} tokens: ${parts}`;
}
