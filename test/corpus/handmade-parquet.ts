/** Parquet files written byte by byte, so that any of their numbers can lie. Flat, required or optional columns. */

/** Thrift compact protocol: [field, kind, value] in ascending order of fields. */
export type Struct = readonly (readonly [number, Kind, unknown])[];
type Kind = 'bool' | 'i32' | 'i64' | 'binary' | 'struct' | 'i32s' | 'binaries' | 'structs';
const CODES = { i32: 5, i64: 6, binary: 8, struct: 12, i32s: 9, binaries: 9, structs: 9 } as const;

export function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let left = BigInt(value);
  do {
    bytes.push(Number(left & 0x7fn) | (left > 0x7fn ? 0x80 : 0));
    left >>= 7n;
  } while (left > 0n);
  return Buffer.from(bytes);
}

const zigzag = (value: number | bigint): Buffer =>
  varint(BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n)));

export function struct(fields: Struct): Buffer {
  const out: Buffer[] = [];
  let last = 0;
  for (const [id, kind, value] of fields) {
    const code = kind === 'bool' ? (value ? 1 : 2) : CODES[kind];
    out.push(Buffer.of(((id - last) << 4) | code));
    last = id;
    if (kind !== 'bool') out.push(encode(kind, value));
  }
  return Buffer.concat([...out, Buffer.of(0)]);
}

function encode(kind: Exclude<Kind, 'bool'>, value: unknown): Buffer {
  switch (kind) {
    case 'i32':
    case 'i64':
      return zigzag(value as number | bigint);
    case 'binary': {
      const bytes = Buffer.from(value as string);
      return Buffer.concat([varint(bytes.length), bytes]);
    }
    case 'struct':
      return struct(value as Struct);
    default: {
      const items = value as readonly unknown[];
      const item = kind.slice(0, -1).replace('binarie', 'binary') as 'i32' | 'binary' | 'struct';
      const head =
        items.length < 15
          ? Buffer.of((items.length << 4) | CODES[item])
          : Buffer.concat([Buffer.of(0xf0 | CODES[item]), varint(items.length)]);
      return Buffer.concat([head, ...items.map((inner) => encode(item, inner))]);
    }
  }
}

export const TYPES = {
  BOOLEAN: 0,
  INT32: 1,
  INT64: 2,
  INT96: 3,
  FLOAT: 4,
  DOUBLE: 5,
  BYTE_ARRAY: 6,
  FIXED_LEN_BYTE_ARRAY: 7,
} as const;

export interface HandColumn {
  readonly name: string;
  readonly type?: keyof typeof TYPES;
  readonly optional?: boolean;
  /** Pages with their headers, as they lie in the file. */
  readonly pages: readonly Buffer[];
  readonly values: number;
  /** Overrides of the column's metadata, by field number of parquet.thrift's ColumnMetaData. */
  readonly lies?: Readonly<Record<number, number | bigint>>;
}

export interface HandGroup {
  readonly rows: number | bigint;
  readonly columns: readonly HandColumn[];
}

/** A data page of version 1 with PLAIN values; `lies` override the page header's fields. */
export function page(
  count: number,
  body: Buffer,
  lies: { uncompressed?: number; compressed?: number; count?: number } = {},
): Buffer {
  const header = struct([
    [1, 'i32', 0],
    [2, 'i32', lies.uncompressed ?? body.length],
    [3, 'i32', lies.compressed ?? body.length],
    [
      5,
      'struct',
      [
        [1, 'i32', lies.count ?? count],
        [2, 'i32', 0],
        [3, 'i32', 3],
        [4, 'i32', 3],
      ] satisfies Struct,
    ],
  ]);
  return Buffer.concat([header, body]);
}

/** PLAIN byte arrays. */
export const plainTexts = (texts: readonly (string | Uint8Array)[]): Buffer =>
  Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text as string);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );

/** The definition levels of a version 1 page: one run of `level` for all `count` values. */
export function levelRun(count: number, level: number): Buffer {
  const run = Buffer.concat([varint(count * 2), Buffer.of(level)]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(run.length);
  return Buffer.concat([length, run]);
}

/** Chunks of the file in order, footer last. @param codec parquet.thrift's CompressionCodec. */
export function handmade(groups: readonly HandGroup[], codec = 0): Buffer[] {
  const out: Buffer[] = [Buffer.from('PAR1')];
  let offset = 4;
  const rowGroups: Struct[] = groups.map(({ rows, columns }) => [
    [
      1,
      'structs',
      columns.map(({ name, type = 'BYTE_ARRAY', pages, values, lies = {} }): Struct => {
        const size = pages.reduce((sum, { length }) => sum + length, 0);
        const start = offset;
        out.push(...pages);
        offset += size;
        const meta: [number, Kind, unknown][] = [
          [1, 'i32', TYPES[type]],
          [2, 'i32s', [0]],
          [3, 'binaries', [name]],
          [4, 'i32', codec],
          [5, 'i64', values],
          [6, 'i64', size],
          [7, 'i64', size],
          [9, 'i64', start],
        ];
        return [
          [2, 'i64', start],
          [3, 'struct', meta.map(([id, kind, value]) => [id, kind, lies[id] ?? value])],
        ];
      }),
    ],
    [2, 'i64', 0],
    [3, 'i64', rows],
  ]);
  const columns = groups[0]?.columns ?? [];
  const footer = struct([
    [1, 'i32', 1],
    [
      2,
      'structs',
      [
        [
          [4, 'binary', 'root'],
          [5, 'i32', columns.length],
        ],
        ...columns.map(schemaOf),
      ],
    ],
    [3, 'i64', groups.reduce((sum, { rows }) => sum + Number(rows), 0)],
    [4, 'structs', rowGroups],
    [6, 'binary', 'handmade'],
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  return [...out, footer, length, Buffer.from('PAR1')];
}

const schemaOf = ({ name, type = 'BYTE_ARRAY', optional = false }: HandColumn): Struct => [
  [1, 'i32', TYPES[type]],
  [3, 'i32', optional ? 1 : 0],
  [4, 'binary', name],
  ...(type === 'BYTE_ARRAY' ? ([[6, 'i32', 0]] satisfies Struct) : []),
];
