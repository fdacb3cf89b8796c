/**
 * The schema of a parquet file as a tree of fields with their levels, and what each leaf's values mean.
 * Source: https://github.com/apache/parquet-format/blob/master/LogicalTypes.md
 */

/** One element of the file's flat, depth-first schema list. */
export interface SchemaEntry {
  readonly name: string;
  /** Physical type; absent for groups. */
  readonly physical?: string;
  readonly typeLength: number;
  readonly repetition: string;
  readonly children: number;
  /** Legacy annotation (`UTF8`, `LIST`, ...), if any. */
  readonly converted?: string;
  readonly scale: number;
  /** The logical type union as hyparquet's thrift reader gives it, if any. */
  readonly logical?: Readonly<Record<string, unknown>>;
}

/** What a leaf's physical values mean. `digits` are fractional digits of a second: 3, 6 or 9. */
export type Meaning =
  | {
      readonly kind:
        | 'plain'
        | 'string'
        | 'json'
        | 'enum'
        | 'bson'
        | 'date'
        | 'unsigned'
        | 'float16'
        | 'uuid'
        | 'null'
        | 'geometry';
    }
  | { readonly kind: 'decimal'; readonly scale: number }
  | { readonly kind: 'time'; readonly digits: number }
  | { readonly kind: 'timestamp'; readonly digits: number; readonly utc: boolean };

export interface LeafType {
  readonly physical: string;
  /** Bytes of a FIXED_LEN_BYTE_ARRAY value. */
  readonly typeLength: number;
  readonly meaning: Meaning;
}

export interface Field {
  readonly name: string;
  readonly optional: boolean;
  readonly repeated: boolean;
  /** Definition and repetition level of a value that is present here. */
  readonly definition: number;
  readonly repetition: number;
  readonly annotation: 'list' | 'map' | null;
  readonly children: readonly Field[];
  /** Set for leaves, which have no children. */
  readonly leaf: LeafType | null;
  /** Leaf columns [start, end) of the file below this field. */
  readonly leaves: readonly [number, number];
}

const MAX_DEPTH = 64;

/** The top-level fields. @throws Error when the list is no depth-first tree. */
export function buildSchema(entries: readonly SchemaEntry[]): readonly Field[] {
  let next = 1;
  let leaves = 0;
  const build = (depth: number, definition: number, repetition: number): Field => {
    const entry = entries[next++];
    if (!entry) throw new Error('schema: a group claims more children than there are');
    if (depth > MAX_DEPTH) throw new Error(`schema: nested deeper than ${MAX_DEPTH}`);
    const repeated = entry.repetition === 'REPEATED';
    const optional = entry.repetition === 'OPTIONAL';
    const levels = {
      definition: definition + (optional || repeated ? 1 : 0),
      repetition: repetition + (repeated ? 1 : 0),
    };
    const firstLeaf = leaves;
    const children: Field[] = [];
    if (entry.physical === undefined) {
      for (let i = 0; i < entry.children; i++)
        children.push(build(depth + 1, levels.definition, levels.repetition));
    } else {
      leaves++;
    }
    return {
      name: entry.name,
      optional,
      repeated,
      ...levels,
      annotation: annotationOf(entry),
      children,
      leaf:
        entry.physical === undefined
          ? null
          : { physical: entry.physical, typeLength: entry.typeLength, meaning: meaningOf(entry) },
      leaves: [firstLeaf, leaves],
    };
  };
  const [root] = entries;
  if (!root || root.physical !== undefined) throw new Error('schema: no root group');
  return Array.from({ length: Math.min(root.children, entries.length) }, () => build(1, 0, 0));
}

function annotationOf({ physical, converted, logical }: SchemaEntry): Field['annotation'] {
  if (physical !== undefined) return null;
  if (converted === 'LIST' || logical?.['field_3']) return 'list';
  return converted === 'MAP' || converted === 'MAP_KEY_VALUE' || logical?.['field_2'] ? 'map' : null;
}

const CONVERTED: Readonly<Record<string, Meaning>> = {
  UTF8: { kind: 'string' },
  ENUM: { kind: 'enum' },
  JSON: { kind: 'json' },
  BSON: { kind: 'bson' },
  DATE: { kind: 'date' },
  TIME_MILLIS: { kind: 'time', digits: 3 },
  TIME_MICROS: { kind: 'time', digits: 6 },
  TIMESTAMP_MILLIS: { kind: 'timestamp', digits: 3, utc: true },
  TIMESTAMP_MICROS: { kind: 'timestamp', digits: 6, utc: true },
  UINT_8: { kind: 'unsigned' },
  UINT_16: { kind: 'unsigned' },
  UINT_32: { kind: 'unsigned' },
  UINT_64: { kind: 'unsigned' },
};

/** The logical type if there is one that we know, else the legacy annotation. Field numbers are parquet.thrift's. */
function meaningOf({ physical, converted, scale, logical }: SchemaEntry): Meaning {
  if (logical) {
    if (logical['field_1']) return { kind: 'string' };
    if (logical['field_4']) return { kind: 'enum' };
    if (logical['field_5']) return { kind: 'decimal', scale: numberIn(logical['field_5'], 'field_1') };
    if (logical['field_6']) return { kind: 'date' };
    if (logical['field_7']) return { kind: 'time', digits: digitsIn(logical['field_7']) };
    if (logical['field_8']) {
      return {
        kind: 'timestamp',
        digits: digitsIn(logical['field_8']),
        utc: member(logical['field_8'], 'field_1') === true,
      };
    }
    if (logical['field_10']) {
      return { kind: member(logical['field_10'], 'field_2') === false ? 'unsigned' : 'plain' };
    }
    if (logical['field_11']) return { kind: 'null' };
    if (logical['field_12']) return { kind: 'json' };
    if (logical['field_13']) return { kind: 'bson' };
    if (logical['field_14']) return { kind: 'uuid' };
    if (logical['field_15']) return { kind: 'float16' };
    if (logical['field_17'] || logical['field_18']) return { kind: 'geometry' };
  }
  if (converted === 'DECIMAL') return { kind: 'decimal', scale };
  if (converted !== undefined && Object.hasOwn(CONVERTED, converted))
    return CONVERTED[converted] ?? { kind: 'plain' };
  return physical === 'INT96' ? { kind: 'timestamp', digits: 9, utc: false } : { kind: 'plain' };
}

const member = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;

function numberIn(value: unknown, key: string): number {
  const found = member(value, key);
  return typeof found === 'number' ? found : 0;
}

function digitsIn(value: unknown): number {
  const unit = member(value, 'field_2');
  return member(unit, 'field_1') ? 3 : member(unit, 'field_2') ? 6 : 9;
}

/** A field's type in a few words, for messages. */
export function typeName(field: Field): string {
  if (field.repeated) return `list of ${field.leaf ? leafName(field.leaf) : 'struct'}`;
  return field.leaf ? leafName(field.leaf) : (field.annotation ?? 'struct');
}

function leafName({ physical, meaning }: LeafType): string {
  const name = physical.toLowerCase();
  return meaning.kind === 'plain'
    ? name
    : meaning.kind === 'string'
      ? 'string'
      : `${meaning.kind} as ${name}`;
}
