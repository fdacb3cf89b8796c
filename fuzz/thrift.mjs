/** Thrift's compact protocol as a tree of fields, so that a parquet footer can be changed field by field and written again. */
import { number } from './bytes.mjs';

function reader(bytes, start) {
  let at = start;
  const byte = () => {
    if (at >= bytes.length) throw new Error('end');
    return bytes[at++];
  };
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const b = byte();
      value |= BigInt(b & 0x7f) << shift;
      if (b < 0x80) return value;
    }
  };
  const value = (type) => {
    switch (type) {
      case 1:
      case 2:
        return { type, value: byte() };
      case 3:
        return { type, value: byte() };
      case 4:
      case 5:
      case 6: {
        const raw = varint();
        return { type, value: (raw >> 1n) ^ -(raw & 1n) };
      }
      case 7: {
        at += 8;
        return { type, value: bytes.subarray(at - 8, at) };
      }
      case 8: {
        const length = Number(varint());
        at += length;
        if (at > bytes.length) throw new Error('end');
        return { type, value: bytes.subarray(at - length, at) };
      }
      case 9: {
        const head = byte();
        const size = head >> 4 === 15 ? Number(varint()) : head >> 4;
        return { type, item: head & 15, items: Array.from({ length: size }, () => value(head & 15)) };
      }
      case 12:
        return { type, fields: struct() };
      default:
        throw new Error(`type ${type}`);
    }
  };
  const struct = () => {
    const fields = [];
    for (let id = 0; ; ) {
      const head = byte();
      if ((head & 15) === 0) return fields;
      id = head >> 4 === 0 ? Number(varint() >> 1n) : id + (head >> 4);
      const type = head & 15;
      fields.push({ id, node: type <= 2 ? { type, value: null } : value(type) });
    }
  };
  return { struct, position: () => at };
}

/** The struct that begins at `start`, and the offset behind it. */
export function readStruct(bytes, start) {
  const { struct, position } = reader(bytes, start);
  const fields = struct();
  return { node: { type: 12, fields }, end: position() };
}

const varintBytes = (value, padded = false) => {
  const out = [];
  let left = BigInt.asUintN(64, value);
  do {
    out.push(Number(left & 0x7fn) | (left > 0x7fn ? 0x80 : 0));
    left >>= 7n;
  } while (left > 0n);
  if (padded) {
    // The same number in more bytes than it needs.
    out[out.length - 1] |= 0x80;
    while (out.length < 9) out.push(0x80);
    out.push(0);
  }
  return Buffer.from(out);
};
const zigzag = (value, padded) => varintBytes((value << 1n) ^ (value >> 63n), padded);

function writeValue(node) {
  switch (node.type) {
    case 1:
    case 2:
    case 3:
      return Buffer.of(node.value ?? 0);
    case 4:
    case 5:
    case 6:
      return zigzag(node.value, node.padded);
    case 7:
      return node.value;
    case 8:
      return Buffer.concat([varintBytes(BigInt(node.claim ?? node.value.length)), node.value]);
    case 9: {
      const size = node.claim ?? node.items.length;
      const head =
        size >= 0 && size < 15
          ? Buffer.of((size << 4) | node.item)
          : Buffer.concat([Buffer.of(0xf0 | node.item), varintBytes(BigInt(size))]);
      return Buffer.concat([head, ...node.items.map(writeValue)]);
    }
    default:
      return writeStruct(node);
  }
}

export function writeStruct(node) {
  const out = [];
  let last = 0;
  for (const { id, node: inner } of node.fields) {
    const step = id - last;
    if (step > 0 && step < 16) out.push(Buffer.of((step << 4) | inner.type));
    else out.push(Buffer.of(inner.type), zigzag(BigInt(id)));
    last = id;
    if (inner.type > 2) out.push(writeValue(inner));
  }
  return Buffer.concat([...out, Buffer.of(0)]);
}

function nodesOf(node, found = []) {
  found.push(node);
  for (const { node: inner } of node.fields ?? []) nodesOf(inner, found);
  for (const inner of node.items ?? []) nodesOf(inner, found);
  return found;
}

/** Changes one node of the tree in place. */
export function changeStruct(draw, root) {
  const node = draw.pick(nodesOf(root));
  switch (node.type) {
    case 4:
    case 5:
    case 6:
      if (draw.chance(0.1)) node.padded = true;
      // Most i32 of parquet are enums or counts, most i64 sizes and offsets.
      else node.value = draw.chance(0.4) ? BigInt(draw.below(20)) : number(draw, node.value);
      return;
    case 8:
      if (draw.chance(0.5)) node.claim = Number(BigInt.asUintN(34, number(draw, BigInt(node.value.length))));
      else
        node.value = Buffer.from(
          draw.pick(['', 'text', '__proto__', 'a.b', '\0', 'x'.repeat(5000), '\xff\xfe']),
          'latin1',
        );
      return;
    case 9:
      switch (draw.below(5)) {
        case 0:
          node.claim = Number(BigInt.asUintN(32, number(draw, BigInt(node.items.length))));
          return;
        case 1:
          node.items.splice(draw.below(node.items.length), 1);
          return;
        case 2:
          if (node.items.length > 0)
            node.items.push(...Array(1 + draw.small(300)).fill(draw.pick(node.items)));
          return;
        case 3:
          if (node.items.length > 1) {
            const [a, b] = [draw.below(node.items.length), draw.below(node.items.length)];
            [node.items[a], node.items[b]] = [node.items[b], node.items[a]];
          }
          return;
        default:
          node.item = draw.below(16);
          return;
      }
    case 12:
      switch (draw.below(4)) {
        case 0:
          node.fields.splice(draw.below(node.fields.length), 1);
          return;
        case 1:
          if (node.fields.length > 0) node.fields.push(draw.pick(node.fields));
          return;
        case 2:
          if (node.fields.length > 0) draw.pick(node.fields).id = draw.below(20);
          return;
        default: {
          const other = draw.pick(nodesOf(root));
          if (node.fields.length > 0 && other !== root) draw.pick(node.fields).node = cloned(other);
          return;
        }
      }
    default:
      node.type = draw.pick([1, 2]);
  }
}

const cloned = (node) =>
  node.fields
    ? { ...node, fields: node.fields.map(({ id, node: inner }) => ({ id, node: cloned(inner) })) }
    : node.items
      ? { ...node, items: node.items.map(cloned) }
      : { ...node };
