/** An engine that does one thing wrong, by name: node hostile-engine.mjs MODE. Else it answers zeros. */
// @ts-nocheck: it breaks what types would hold.
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

const mode = process.argv[2];
const say = (line) => process.stderr.write(`${line}\n`);
if (mode === 'ends-at-once') process.exit(7);
if (mode === 'says-why') {
  say(JSON.stringify({ level: 'error', code: 'no-model', message: 'the weights are of chocolate' }));
  process.exit(1);
}
if (mode === 'chatter') process.stdout.write('Loading checkpoint shards: 100%\n');
if (mode === 'silent') setInterval(() => undefined, 1000);
else if (mode === 'flood') setInterval(() => say('x'.repeat(1e6)), 1);
else await answer();

async function answer() {
  const reader = await (await RecordBatchReader.from(process.stdin)).open();
  const job = JSON.parse(reader.schema.metadata.get('tokensieve'));
  const list = new List(new Field('item', new Float32(), false));
  const names = job.models.flatMap(({ name }) => job.outputs.map((output) => `${name}.${output}`));
  const facts = {
    architecture: 'Zero',
    vocabulary: 1000,
    max_positions: null,
    parameters: 0,
    dtype: 'float32',
  };
  const told = {
    protocol: mode === 'other-protocol' ? 2 : 1,
    engine: 'hostile',
    outputs: ['loss', 'entropy', 'greedy'],
    models: mode === 'forgets-model' ? {} : Object.fromEntries(job.models.map(({ name }) => [name, facts])),
    profile: { device: 'none' },
  };
  const metadata = new Map(
    mode === 'no-metadata' ? [] : [['tokensieve', mode === 'no-json' ? '{' : JSON.stringify(told)]],
  );
  const columns = mode === 'other-columns' ? names.map((name) => `${name}s`) : names;
  const schema = new Schema(
    columns.map((name) => new Field(name, list, false)),
    metadata,
  );
  const writer = new RecordBatchStreamWriter({ autoDestroy: false });
  void (async () => {
    for await (const chunk of writer) process.stdout.write(chunk);
  })();
  writer.reset(undefined, schema);
  for await (const batch of reader) {
    if (mode === 'dies') process.kill(process.pid, 'SIGKILL');
    if (mode === 'hangs') return void setInterval(() => undefined, 1000);
    if (mode === 'ends-early') process.exit(0);
    if (mode === 'huge-claim') {
      const header = Buffer.alloc(8);
      header.writeInt32LE(-1, 0);
      header.writeInt32LE(2 ** 30, 4);
      process.stdout.write(header);
      return;
    }
    if (mode === 'noise') return void process.stdout.write(Buffer.alloc(4096, 0xab));
    const rows = batch.numRows - (mode === 'too-few-rows' ? 1 : 0);
    const children = columns.map(() => {
      const builder = makeBuilder({ type: list });
      for (let row = 0; row < rows; row++) {
        const length = batch.getChild('input_ids').get(row).length - (mode === 'whole-rows' ? 0 : 1);
        builder.append(new Float32Array(Math.max(0, length)).fill(mode === 'nan' ? Number.NaN : 1));
      }
      return builder.finish().flush();
    });
    writer.write(
      new RecordBatch(
        schema,
        makeData({ type: new Struct(schema.fields), length: rows, nullCount: 0, children }),
      ),
    );
    if (mode === 'twice')
      writer.write(
        new RecordBatch(
          schema,
          makeData({ type: new Struct(schema.fields), length: rows, nullCount: 0, children }),
        ),
      );
  }
  writer.close();
  if (mode === 'stays') setInterval(() => undefined, 1000);
}
