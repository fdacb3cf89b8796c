/**
 * A guard in front of hyparquet's thrift reader. That reader trusts its input: a varint of a megabyte costs
 * quadratic time, a list may claim two billion elements, a nested struct may exhaust the stack. This walk visits
 * the same bytes in linear time, refuses all of that, and says where the struct ends.
 * Source: the Thrift compact protocol, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
 */

/** The struct goes on after the last byte that is there: read more bytes and walk again. */
export class ThriftIncomplete extends Error {}

const MAX_DEPTH = 32;

interface Walk {
  readonly bytes: Uint8Array;
  position: number;
  /** Values (fields and list elements) that may still be visited. */
  budget: number;
}

/**
 * Offset behind the struct that begins at `start`.
 * @param maxValues fields and list elements allowed, as these become JavaScript objects.
 * @throws ThriftIncomplete when the bytes end within the struct; Error when they are no such struct.
 */
export function thriftStructEnd(bytes: Uint8Array, start: number, maxValues: number): number {
  const walk: Walk = { bytes, position: start, budget: maxValues };
  skipStruct(walk, 0);
  return walk.position;
}

function skipStruct(walk: Walk, depth: number): void {
  if (depth > MAX_DEPTH) throw new Error(`thrift structs nested deeper than ${MAX_DEPTH}`);
  for (;;) {
    const head = nextByte(walk);
    const type = head & 0x0f;
    if (type === 0) return;
    if (head >> 4 === 0) nextVarint(walk);
    // A boolean field's value is in its type.
    if (type > 2) skipValue(walk, type, depth);
    else spend(walk, 1);
  }
}

function skipValue(walk: Walk, type: number, depth: number): void {
  spend(walk, 1);
  switch (type) {
    case 1:
    case 2:
    case 3:
      advance(walk, 1);
      return;
    case 4:
    case 5:
    case 6:
      nextVarint(walk);
      return;
    case 7:
      advance(walk, 8);
      return;
    case 8:
      advance(walk, nextVarint(walk));
      return;
    case 9: {
      const head = nextByte(walk);
      const size = head >> 4 === 15 ? nextVarint(walk) : head >> 4;
      spend(walk, size);
      walk.budget += size;
      for (let i = 0; i < size; i++) skipValue(walk, head & 0x0f, depth);
      return;
    }
    case 12:
      skipStruct(walk, depth + 1);
      return;
    default:
      throw new Error(`thrift type ${type}, which parquet does not use`);
  }
}

function nextByte(walk: Walk): number {
  const byte = walk.bytes[walk.position];
  if (byte === undefined) throw new ThriftIncomplete('thrift struct without an end');
  walk.position++;
  return byte;
}

/** An unsigned varint; exact up to 2^53, and never longer than the ten bytes of a 64-bit number. */
function nextVarint(walk: Walk): number {
  let value = 0;
  for (let i = 0, unit = 1; i < 10; i++, unit *= 128) {
    const byte = nextByte(walk);
    value += (byte & 0x7f) * unit;
    if (byte < 0x80) return value;
  }
  throw new Error('thrift varint of more than ten bytes');
}

function advance(walk: Walk, length: number): void {
  if (length > walk.bytes.length - walk.position)
    throw new ThriftIncomplete('thrift value runs past the end');
  walk.position += length;
}

function spend(walk: Walk, values: number): void {
  walk.budget -= values;
  if (walk.budget < 0) throw new Error('thrift struct with more values than any sane file has');
}
