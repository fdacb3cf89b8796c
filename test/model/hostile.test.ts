/** What fuzzing and reading found in model folders: places outside of them, pipes, headers that explode in memory. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
} from 'onnx-buf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeModel, prepareModel } from '#tokensieve/model/prepare.js';
import { readSafetensorsHeader } from '#tokensieve/model/safetensors.js';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';

const fixture = fileURLToPath(new URL('../../fixtures/models/onnx/llama-genai-fp32', import.meta.url));
let scratch: string;
let made = 0;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'tokensieve-hostile-'));
  mkdirSync(join(scratch, 'outside'));
  writeFileSync(join(scratch, 'outside/secret'), Buffer.alloc(100_000, 1));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A copy of an export whose weights are in a data file, changed. */
function changed(change: (model: ModelProto) => void): string {
  const folder = join(scratch, `${made++}`);
  cpSync(fixture, folder, { recursive: true });
  const path = join(folder, 'model.onnx');
  const model = fromBinary(ModelProtoSchema, readFileSync(path));
  change(model);
  writeFileSync(path, toBinary(ModelProtoSchema, model));
  return folder;
}

const prepare = (folder: string) =>
  prepareModel(folder, {
    device: 'cpu',
    attention: 'across',
    entropy: false,
    cacheFolder: join(scratch, 'cache'),
  });

const external = (model: ModelProto) => {
  const tensor = model.graph?.initializer.find(({ dataLocation }) => dataLocation === DataLocation.EXTERNAL);
  if (tensor === undefined) throw new Error('the fixture keeps its weights in the graph');
  return tensor;
};

const place = (fields: Readonly<Record<string, string>>) => (model: ModelProto) => {
  for (const field of external(model).externalData) field.value = fields[field.key] ?? field.value;
};

describe('weights of an ONNX graph', () => {
  it.each(['../outside/secret', '/etc/passwd', 'sub/../../outside/secret', '..\\outside\\secret'])(
    'in %s are refused',
    async (location) => {
      await expect(prepare(changed(place({ location })))).rejects.toMatchObject({ code: 'onnx-data-file' });
    },
  );

  it('behind a link that leads out of the folder are refused; one that stays inside is followed', async () => {
    const folder = changed(place({ location: 'data.bin' }));
    symlinkSync(join(scratch, 'outside/secret'), join(folder, 'data.bin'));
    await expect(prepare(folder)).rejects.toThrow(/a link that leads out of its folder/);
    const through = changed(place({ location: 'out/secret' }));
    symlinkSync(join(scratch, 'outside'), join(through, 'out'));
    await expect(prepare(through)).rejects.toThrow(/a link that leads out of its folder/);
    const inside = changed(place({ location: 'data.bin' }));
    symlinkSync('model.onnx.data', join(inside, 'data.bin'));
    expect((await prepare(inside)).weightsFolder).toContain(inside);
  });

  it.each([
    { offset: '-16' },
    { length: '-1' },
    { offset: '1e3' },
    { offset: '0x10' },
    { length: '' },
    { offset: '9223372036854775807' },
  ])('at %o are refused', async (fields) => {
    await expect(prepare(changed(place(fields)))).rejects.toMatchObject({ code: 'onnx-data-file' });
  });

  it('at two locations at once are refused', async () => {
    const folder = changed((model) => {
      external(model).externalData.push({
        ...external(model).externalData[0]!,
        key: 'location',
        value: '../outside/secret',
      });
    });
    await expect(prepare(folder)).rejects.toThrow(/at two places at once/);
  });

  it('of a node, which ONNX Runtime would look for by itself, are refused', async () => {
    const folder = changed((model) => {
      const t = create(TensorProtoSchema, {
        dataType: 1,
        dims: [4n],
        dataLocation: DataLocation.EXTERNAL,
        externalData: [{ key: 'location', value: '../outside/secret' }],
      });
      model.graph?.node.push(
        create(NodeProtoSchema, {
          opType: 'Constant',
          output: ['stray'],
          attribute: [create(AttributeProtoSchema, { name: 'value', type: AttributeType.TENSOR, t })],
        }),
      );
    });
    await expect(prepare(folder)).rejects.toThrow(/in nodes or subgraphs/);
  });
});

describe('a pipe in place of a file', () => {
  const pipe = (name: string, others: Readonly<Record<string, string>> = {}): string => {
    const folder = join(scratch, `${made++}`);
    mkdirSync(folder);
    for (const [other, text] of Object.entries(others)) writeFileSync(join(folder, other), text);
    execFileSync('mkfifo', [join(folder, name)]);
    return folder;
  };

  it('is refused, and not waited for', async () => {
    await expect(describeModel(pipe('config.json'))).rejects.toThrow(/is not a plain file/);
    const llama = JSON.stringify({
      architectures: ['LlamaForCausalLM'],
      vocab_size: 8,
      hidden_size: 4,
      intermediate_size: 4,
      num_hidden_layers: 1,
      num_attention_heads: 1,
      max_position_embeddings: 8,
      rms_norm_eps: 1e-5,
    });
    await expect(describeModel(pipe('model.safetensors', { 'config.json': llama }))).rejects.toThrow(
      /is not a plain file/,
    );
    await expect(describeModel(pipe('model.onnx'))).rejects.toThrow(/is not a plain file/);
    await expect(openTokenizer({ path: pipe('tokenizer.json') })).rejects.toThrow(/is not a plain file/);
  });
});

describe('a safetensors header', () => {
  const header = (text: string): string => {
    const path = join(scratch, `${made++}.safetensors`);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    writeFileSync(path, Buffer.concat([length, Buffer.from(text)]));
    return path;
  };

  it('of fifteen megabytes of empty objects is refused before they are made', async () => {
    const path = header(`{"a":[${'{},'.repeat(5_000_000)}1]}`);
    const before = process.memoryUsage().heapUsed;
    await expect(readSafetensorsHeader(path)).rejects.toThrow(/more than 4194304 values/);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100e6);
  });

  it('that is a page of a server is told to be text', async () => {
    const path = join(scratch, `${made++}.safetensors`);
    writeFileSync(path, '<!doctype html><html><body>404</body></html>');
    await expect(readSafetensorsHeader(path)).rejects.toThrow(/is text \(it begins with "<!doctyp"\)/);
  });

  it('nested without end is refused', async () => {
    await expect(readSafetensorsHeader(header('[{"a":'.repeat(100_000)))).rejects.toThrow(
      /nested deeper than/,
    );
  });
});
