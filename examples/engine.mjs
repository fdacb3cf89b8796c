/**
 * An engine of one's own, over the protocol of docs/engines.md: Arrow IPC streams on standard input and output. It computes
 * bigram models, whose losses are a table's: one look-up a token. Any language that has an Arrow library will do.
 *
 *   node dist/cli/main.js engine check 'node examples/engine.mjs' --model runs/quickstart/bigram
 *   node dist/cli/main.js score … --engine 'exec:node examples/engine.mjs'
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Field,
  Float32,
  List,
  makeBuilder,
  makeData,
  RecordBatch,
  RecordBatchReader,
  RecordBatchStreamWriter,
  Schema,
  Struct,
} from 'apache-arrow';

const OUTPUTS = ['loss', 'entropy', 'greedy'];

/** One line on standard error, in words for the user; the exit code says that nothing more comes. */
function fail(code, message) {
  process.stderr.write(`${JSON.stringify({ level: 'error', code, message })}\n`);
  process.exit(1);
}

/** ln p(b | a) at b · size + a, of a checkpoint whose head holds the table (fixtures/quickstart/bigram-checkpoint.mjs). */
function readBigram(folder) {
  let bytes;
  try {
    bytes = readFileSync(join(folder, 'model.safetensors'));
  } catch (error) {
    return fail('no-model', `${folder}: ${error.message}`);
  }
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes));
  const { shape, data_offsets: at } = header['lm_head.weight'];
  const start = 8 + headerBytes + at[0];
  const table = new Float32Array(bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + 8 + headerBytes + at[1]));
  return { size: shape[0], table };
}

/** What a model says of one row: an entry for every id but the first. */
function scoreRow({ size, table }, ids, output) {
  const values = new Float32Array(Math.max(0, ids.length - 1));
  for (let i = 0; i < values.length; i++) {
    const [a, b] = [ids[i], ids[i + 1]];
    if (!(a < size && b < size && a >= 0 && b >= 0)) fail('bad-request', `id ${a < size ? b : a}: the model has ${size}`);
    if (output === 'loss') values[i] = -table[b * size + a];
    else {
      let [entropy, best] = [0, 0];
      for (let c = 0; c < size; c++) {
        entropy -= Math.exp(table[c * size + a]) * table[c * size + a];
        if (table[c * size + a] > table[best * size + a]) best = c;
      }
      values[i] = output === 'entropy' ? entropy : Number(best === b);
    }
  }
  return values;
}

const reader = await (await RecordBatchReader.from(process.stdin)).open();
const job = JSON.parse(reader.schema.metadata.get('tokensieve') ?? '{}');
if (job.protocol !== 1) fail('bad-job', `protocol ${job.protocol}; this engine speaks 1`);
if (Object.keys(job.options).length > 0) fail('bad-option', `option ${Object.keys(job.options)[0]} is not known`);
for (const output of job.outputs) if (!OUTPUTS.includes(output)) fail('no-such-output', `output ${output} is not offered`);
const models = job.models.map(({ name, folder }) => ({ name, ...readBigram(folder) }));

const list = new List(new Field('item', new Float32(), false));
const columns = models.flatMap((model) => job.outputs.map((output) => ({ model, output, name: `${model.name}.${output}` })));
const answer = {
  protocol: 1,
  engine: 'bigram',
  outputs: OUTPUTS,
  models: Object.fromEntries(
    models.map(({ name, size }) => [
      name,
      { architecture: 'Bigram', vocabulary: size, max_positions: null, parameters: size * size, dtype: 'float32' },
    ]),
  ),
  profile: { device: 'cpu', runtime: `node ${process.versions.node}` },
};
const schema = new Schema(
  columns.map(({ name }) => new Field(name, list, false)),
  new Map([['tokensieve', JSON.stringify(answer)]]),
);

const writer = new RecordBatchStreamWriter({ autoDestroy: false });
const sent = (async () => {
  for await (const chunk of writer) if (!process.stdout.write(chunk)) await new Promise((go) => process.stdout.once('drain', go));
})();
// The answer is owed before the first rows come: they are only sent once it was read.
writer.reset(undefined, schema);
for await (const batch of reader) {
  const rows = Array.from({ length: batch.numRows }, (_, row) => batch.getChild('input_ids').get(row).toArray());
  // A bigram sees no token but the last: of documents that must not see each other nothing has to be done.
  const children = columns.map(({ model, output }) => {
    const builder = makeBuilder({ type: list });
    for (const ids of rows) builder.append(scoreRow(model, ids, output));
    return builder.finish().flush();
  });
  const data = makeData({ type: new Struct(schema.fields), length: rows.length, nullCount: 0, children });
  writer.write(new RecordBatch(schema, data));
}
writer.close();
await sent;
