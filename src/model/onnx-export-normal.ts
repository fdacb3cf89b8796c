/** An export's graph in the form that the passes over it expect, whatever order and nesting its writer left. */
import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  type GraphProto,
  type NodeProto,
  NodeProtoSchema,
} from 'onnx-buf';
import { fatalError } from '../errors.js';
import type { Value } from '../onnx/graph.js';
import { namesOf, renameValues, usesOf } from './onnx-export-graph.js';

/** The input by which optimum's merged decoder chooses between its two branches. */
export const cacheSwitch = 'use_cache_branch';

/**
 * Takes a merged decoder's branch without a cache for the whole, and puts nodes behind what they read (converters to half
 * precision leave their casts at the end of the file). In place.
 * @throws fatal `onnx-unreadable` for nodes that wait for each other.
 */
export function normalise(graph: GraphProto, file: string): void {
  inlineCacheBranch(graph);
  sortNodes(graph, file);
}

/** `If(use_cache_branch)`, before its first use false: its else branch, in the place of the node. */
function inlineCacheBranch(graph: GraphProto): void {
  for (const node of graph.node.filter(({ opType, input }) => opType === 'If' && input[0] === cacheSwitch)) {
    const attribute = node.attribute.find(
      ({ name, type }) => name === 'else_branch' && type === AttributeType.GRAPH,
    );
    const branch = attribute?.g;
    if (branch === undefined || branch.output.length !== node.output.length) continue;
    // The branches are scopes of their own: a name in one may stand for something else around it.
    graph.node.splice(graph.node.indexOf(node), 1);
    const taken = namesOf(graph);
    for (const name of node.output) taken.add(name);
    const renamed = new Map<Value, Value>();
    for (const name of definedIn(branch)) {
      let fresh = name;
      while (taken.has(fresh)) fresh = `${fresh}/no_cache`;
      if (fresh !== name) renamed.set(name, fresh);
      taken.add(fresh);
    }
    renameValues(branch, renamed);
    graph.initializer.push(...branch.initializer);
    graph.node.push(...branch.node);
    for (const [i, { name }] of branch.output.entries()) {
      graph.node.push(
        create(NodeProtoSchema, { opType: 'Identity', input: [name], output: [node.output[i] ?? ''] }),
      );
    }
  }
}

const definedIn = (graph: GraphProto): Value[] =>
  [...graph.initializer.map(({ name }) => name), ...graph.node.flatMap(({ output }) => output)].filter(
    (name) => name !== '',
  );

/** Nodes that are in order stay where they are. */
function sortNodes(graph: GraphProto, file: string): void {
  const producers = new Map<Value, NodeProto>();
  for (const node of graph.node) for (const name of node.output) if (name !== '') producers.set(name, node);
  const sorted = new Set<NodeProto>();
  const open = new Set<NodeProto>();
  const enter = (node: NodeProto) => {
    open.add(node);
    return { node, uses: usesOf(node).values() };
  };
  for (const root of graph.node) {
    const stack = sorted.has(root) ? [] : [enter(root)];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { node, uses } = top;
      const { value, done } = uses.next();
      if (done) {
        stack.pop();
        open.delete(node);
        sorted.add(node);
        continue;
      }
      const producer = producers.get(value);
      if (producer === undefined || sorted.has(producer)) continue;
      if (open.has(producer)) {
        throw fatalError(
          'onnx-unreadable',
          `${file}: its nodes ${node.name || node.opType} and ${producer.name || producer.opType} wait for each other; expected a graph without circles: export it again`,
        );
      }
      stack.push(enter(producer));
    }
  }
  graph.node = [...sorted];
}

/** The runtime refuses two nodes of one name, which optimisers' fusions and ours may give. In place. */
export function nameNodesApart(nodes: readonly NodeProto[]): void {
  const seen = new Set<string>();
  for (const node of nodes) {
    if (node.name === '') continue;
    const { name } = node;
    for (let n = 2; seen.has(node.name); n++) node.name = `${name}#${n}`;
    seen.add(node.name);
  }
}
