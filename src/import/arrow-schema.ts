/**
 * The columns of anybody's Arrow schema as far as their layout goes: which nodes and buffers of a record batch are
 * whose. From the flatbuffers themselves, since apache-arrow 21 decodes no large lists, which Polars writes.
 */
import type { Field as FieldTable } from 'apache-arrow/fb/field';
import { FixedSizeList } from 'apache-arrow/fb/fixed-size-list';
import { FloatingPoint } from 'apache-arrow/fb/floating-point';
import { Int } from 'apache-arrow/fb/int';
import type { Schema as SchemaTable } from 'apache-arrow/fb/schema';
import { Type } from 'apache-arrow/fb/type';
import { inputError } from '../errors.js';

/** Numbers as they lie in a buffer. */
export type NumberType =
  | { readonly kind: 'int'; readonly bits: number; readonly signed: boolean }
  | { readonly kind: 'float'; readonly bits: 16 | 32 | 64 };

/** A top-level column; `node` and `buffer` are the first that are its own. */
export interface ArrowColumn {
  readonly name: string;
  readonly node: number;
  readonly buffer: number;
  /** How it is read; null where it is neither numbers nor lists of them. */
  readonly layout: ColumnLayout | null;
  /** The type in words, for messages. */
  readonly type: string;
}

export type ColumnLayout =
  | { readonly list: 'none'; readonly item: NumberType }
  | { readonly list: 'offsets32' | 'offsets64'; readonly item: NumberType }
  | { readonly list: 'fixed'; readonly size: number; readonly item: NumberType };

export interface ArrowLayout {
  readonly columns: readonly ArrowColumn[];
  readonly nodes: number;
  readonly buffers: number;
}

/** Buffers of a type itself, its children left out, by the format's "Buffer Listing for Each Layout". */
const OWN_BUFFERS: ReadonlyMap<number, number> = new Map([
  [Type.Null, 0],
  ...[Type.Int, Type.FloatingPoint, Type.Bool, Type.Decimal, Type.Date, Type.Time, Type.Timestamp].map(
    (type) => [type, 2] as const,
  ),
  ...[Type.Interval, Type.Duration, Type.FixedSizeBinary, Type.List, Type.LargeList, Type.Map].map(
    (type) => [type, 2] as const,
  ),
  ...[Type.Binary, Type.Utf8, Type.LargeBinary, Type.LargeUtf8].map((type) => [type, 3] as const),
  [Type.Struct_, 1],
  [Type.FixedSizeList, 1],
]);

/**
 * Nodes and buffers of every column of a schema.
 * @throws TokensieveError (input) `arrow-type` for a column whose buffers cannot be counted (views, unions, runs)
 */
export function layoutOf(schema: SchemaTable, path: string): ArrowLayout {
  const columns: ArrowColumn[] = [];
  let nodes = 0;
  let buffers = 0;
  const count = (field: FieldTable, column: string): void => {
    nodes++;
    if (field.dictionary() !== null) {
      buffers += 2;
      return;
    }
    const own = OWN_BUFFERS.get(field.typeType());
    if (own === undefined) {
      throw inputError(
        'arrow-type',
        `${path}: column ${JSON.stringify(column)} is a ${typeName(field)}, which is not read; write the file without this column`,
      );
    }
    buffers += own;
    for (let i = 0; i < field.childrenLength(); i++) {
      const child = field.children(i);
      if (child !== null) count(child, column);
    }
  };
  for (let i = 0; i < schema.fieldsLength(); i++) {
    const field = schema.fields(i);
    if (field === null) continue;
    const name = field.name() ?? '';
    columns.push({ name, node: nodes, buffer: buffers, layout: columnLayout(field), type: typeName(field) });
    count(field, name);
  }
  return { columns, nodes, buffers };
}

const typeName = (field: FieldTable): string => {
  const name = Type[field.typeType()] ?? `type ${field.typeType()}`;
  const child = field.children(0);
  return child === null ? name : `${name} of ${Type[child.typeType()] ?? 'unknown'}`;
};

function columnLayout(field: FieldTable): ColumnLayout | null {
  if (field.dictionary() !== null) return null;
  const own = numberType(field);
  if (own !== null) return { list: 'none', item: own };
  const child = field.children(0);
  const item = child === null || child.dictionary() !== null ? null : numberType(child);
  if (item === null) return null;
  switch (field.typeType()) {
    case Type.List:
      return { list: 'offsets32', item };
    case Type.LargeList:
      return { list: 'offsets64', item };
    case Type.FixedSizeList: {
      const size = (field.type(new FixedSizeList()) as FixedSizeList | null)?.listSize() ?? -1;
      return size < 1 ? null : { list: 'fixed', size, item };
    }
    default:
      return null;
  }
}

/** By the format's number of the precision: half, single, double. */
const FLOAT_BITS: readonly (16 | 32 | 64)[] = [16, 32, 64];

function numberType(field: FieldTable): NumberType | null {
  if (field.typeType() === Type.Int) {
    const type = field.type(new Int()) as Int | null;
    const bits = type?.bitWidth() ?? 0;
    return [8, 16, 32, 64].includes(bits) ? { kind: 'int', bits, signed: type?.isSigned() ?? true } : null;
  }
  if (field.typeType() === Type.FloatingPoint) {
    const precision = (field.type(new FloatingPoint()) as FloatingPoint | null)?.precision();
    const bits = precision === undefined ? undefined : FLOAT_BITS[precision];
    return bits === undefined ? null : { kind: 'float', bits };
  }
  return null;
}
