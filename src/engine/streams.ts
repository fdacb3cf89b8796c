/** Requests as bytes, and answers as losses: the columns of both streams. */
import { Field, Schema } from 'apache-arrow/schema';
import { DataType, Int32, List } from 'apache-arrow/type';
import { asFloat32, asInt32 } from '../dataset/arrow-reader.js';
import { arrowStream, flatColumn, listColumn } from '../dataset/arrow-writer.js';
import type { BatchMessage } from './messages.js';
import type { EngineJob, EngineOutput } from './protocol.js';
import { PROTOCOL } from './protocol.js';

export const METADATA_KEY = 'tokensieve';

/** Rows as they are sent: row r is tokens [offsets[r], offsets[r + 1]). */
export interface EngineRows {
  /** [rows + 1] */
  readonly offsets: Int32Array;
  readonly ids: Int32Array;
  /** With attention `within`: position in the token's document, and which tokens see each other. */
  readonly positions?: Int32Array;
  readonly documents?: Int32Array;
}

const idList = (name: string): Field =>
  new Field(name, new List(new Field('item', new Int32(), false)), false);

export interface RequestEncoder {
  /** The stream's first bytes, the job among them. */
  readonly head: Uint8Array;
  batch(rows: EngineRows): Uint8Array;
  readonly end: Uint8Array;
}

export function requestStream(job: EngineJob): RequestEncoder {
  const within = job.attention === 'within';
  const names = ['input_ids', ...(within ? ['position_ids', 'document_ids'] : [])];
  const metadata = new Map([[METADATA_KEY, JSON.stringify({ protocol: PROTOCOL, ...job })]]);
  const stream = arrowStream(new Schema(names.map(idList), metadata));
  return {
    head: stream.head,
    end: stream.end,
    batch({ offsets, ids, positions, documents }) {
      const own = [ids, ...(within ? [positions ?? new Int32Array(0), documents ?? new Int32Array(0)] : [])];
      const columns = own.map((values) => listColumn(offsets, flatColumn(values.length, values)));
      // The encoder's memory is used again; what is handed to a pipe must stay.
      return stream.batch(offsets.length - 1, columns).slice();
    },
  };
}

/** Names of an answer's columns, in their order. */
export const answerColumns = ({ models, outputs }: Pick<EngineJob, 'models' | 'outputs'>): string[] =>
  models.flatMap(({ name }) => outputs.map((output) => `${name}.${output}`));

/** Throws a plain error where the answer's columns are not those of the job. */
export function checkAnswerSchema(schema: Schema, job: EngineJob): void {
  const wanted = answerColumns(job);
  const found = schema.fields.map(({ name }) => name);
  if (found.join('\n') !== wanted.join('\n')) {
    throw new Error(`its answers have the columns ${shown(found)}; expected ${shown(wanted)}`);
  }
  for (const { name, type } of schema.fields) {
    const fits =
      DataType.isList(type) && DataType.isFloat(type.valueType) && `${type.valueType}` === 'Float32';
    if (!fits) throw new Error(`its column ${name} is ${type}; expected List<Float32>`);
  }
}

const shown = (names: readonly string[]): string =>
  names.length === 0 ? 'none' : `${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}`;

/** Most bytes that an honest answer to the rows has: values, offsets, validity, padding. */
export const answerLimit = (rows: EngineRows, columns: number): number =>
  columns * (8 * rows.ids.length + 8 * (rows.offsets.length + 1) + 512) + 1024;

/** By model and output: [tokens − rows] nats, rows one after another, each one shorter than its ids. */
export type EngineLosses = ReadonlyMap<string, Readonly<Partial<Record<EngineOutput, Float32Array>>>>;

/** Throws a plain error where an answer does not fit the rows it was asked for. */
export function decodeAnswer({ header, body }: BatchMessage, rows: EngineRows, job: EngineJob): EngineLosses {
  const count = rows.offsets.length - 1;
  if (header.rows !== count) throw new Error(`it answered ${header.rows} rows; expected ${count}`);
  const answers = new Map<string, Partial<Record<EngineOutput, Float32Array>>>();
  let [node, buffer] = [0, 0];
  const take = (bytes: number, what: string): Uint8Array => {
    const region = header.regions[buffer++];
    if (region === undefined || region.length < bytes) {
      throw new Error(`${what} has ${region?.length ?? 0} bytes; expected ${bytes}`);
    }
    return body.subarray(region.offset, region.offset + bytes);
  };
  for (const { name } of job.models) {
    const own: Partial<Record<EngineOutput, Float32Array>> = {};
    for (const output of job.outputs) {
      const column = `${name}.${output}`;
      const [list, items] = [header.nodes[node++], header.nodes[node++]];
      if ((list?.nulls ?? 0) > 0 || (items?.nulls ?? 0) > 0)
        throw new Error(`${column} has nulls; expected none`);
      buffer++; // A validity bitmap without nulls says nothing.
      const offsets = asInt32(take(4 * (count + 1), column));
      buffer++;
      const values = asFloat32(take(4 * (items?.length ?? 0), column));
      own[output] = rowsOf(column, offsets, values, rows);
    }
    answers.set(name, own);
  }
  return answers;
}

/** The values where every list is one shorter than its row. */
function rowsOf(column: string, offsets: Int32Array, values: Float32Array, rows: EngineRows): Float32Array {
  const first = offsets[0] ?? 0;
  let expected = first;
  for (let row = 0; row < offsets.length - 1; row++) {
    const wanted = Math.max(0, (rows.offsets[row + 1] ?? 0) - (rows.offsets[row] ?? 0) - 1);
    const found = (offsets[row + 1] ?? 0) - expected;
    if (found !== wanted) throw new Error(`row ${row} of ${column} has ${found} values; expected ${wanted}`);
    expected += wanted;
  }
  if (first < 0 || expected > values.length) {
    throw new Error(`${column} has ${values.length} values; its lists reach to ${expected}`);
  }
  return values.subarray(first, expected);
}
