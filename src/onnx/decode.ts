/** ONNX protobuf bytes from anywhere, decoded only when the messages in them fit in memory. */
import { type DescMessage, fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { type ModelProto, ModelProtoSchema } from 'onnx-buf';

/** Memory that the decoded messages may take, by the estimate below; raw weights are views and take none. */
const MAX_MEMORY_BYTES = 2 ** 30;
/** What an empty NodeProto takes, measured on Node 20. */
const MESSAGE_BYTES = 268;
/** What one byte of a packed list of integers can become: an array slot and a BigInt. */
const PACKED_BYTES = 32;
/** Nesting that fromBinary accepts. */
const MAX_DEPTH = 100;

/**
 * Decodes a ModelProto. Two bytes of protobuf can stand for an object of some hundred, so a file far below the
 * format's 2 GiB could exhaust memory: the wire format is walked first and what it would become is added up.
 * @throws Error when the bytes are no such message, or would take more than 1 GiB
 */
export function decodeModel(bytes: Uint8Array): ModelProto {
  const reader = new BinaryReader(bytes);
  walk(reader, bytes.length, ModelProtoSchema, { left: MAX_MEMORY_BYTES }, 0);
  return fromBinary(ModelProtoSchema, bytes);
}

function walk(
  reader: BinaryReader,
  end: number,
  type: DescMessage,
  memory: { left: number },
  depth: number,
): void {
  if (depth > MAX_DEPTH) throw new Error(`messages are nested deeper than ${MAX_DEPTH}`);
  while (reader.pos < end) {
    const [number, wire] = reader.tag();
    const field = fieldsOf(type).get(number);
    if (wire !== WireType.LengthDelimited || field === undefined) {
      reader.skip(wire, number);
      continue;
    }
    const fieldEnd = reader.uint32() + reader.pos;
    if (fieldEnd > end) throw new Error(`field ${number} of ${type.name} ends at byte ${fieldEnd} of ${end}`);
    memory.left -= field === 'packed' ? PACKED_BYTES * (fieldEnd - reader.pos) : MESSAGE_BYTES;
    if (memory.left < 0)
      throw new Error(`its messages would take more than ${MAX_MEMORY_BYTES} bytes of memory`);
    if (field === 'packed' || field === 'text') reader.pos = fieldEnd;
    else walk(reader, fieldEnd, field, memory, depth + 1);
  }
}

type Shape = DescMessage | 'packed' | 'text';

const known = new Map<DescMessage, ReadonlyMap<number, Shape>>();

/** The fields of a type that cost memory beyond their own bytes, by number. */
function fieldsOf(type: DescMessage): ReadonlyMap<number, Shape> {
  let fields = known.get(type);
  if (fields === undefined) {
    fields = new Map(
      type.fields.flatMap((field): [number, Shape][] => {
        if (field.message !== undefined) return [[field.number, field.message]];
        if (field.fieldKind !== 'list') return [];
        return [[field.number, field.packed ? 'packed' : 'text']];
      }),
    );
    known.set(type, fields);
  }
  return fields;
}
