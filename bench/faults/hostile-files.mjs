/**
 * Files of strangers given to the command line as a user would: bombs, sizes that are claims, models that lead out of their folder
 * or ask for code, links and devices in place of files, rows of a gigabyte. Each ends in words of the package, in time and memory.
 *
 *   node bench/faults/hostile-files.mjs [--only NAME]
 *
 * A line for each case: exit code, seconds, peak of resident memory. Ends with 1 where one said "unexpected", ended by a signal,
 * took more than a minute and a half, or more than 1.5 GiB.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync,
} from 'node:fs'; // biome-ignore format: a list
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createGzip } from 'node:zlib';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { makeQuickstart } from '../../fixtures/quickstart/make.mjs';
import { cli } from './support.mjs';

const { values } = parseArgs({ options: { only: { type: 'string' } } });
const MAX_SECONDS = 90;
const MAX_MB = 1536;
const root = mkdtempSync(join(tmpdir(), 'tokensieve-hostile-'));
const at = (...names) => join(root, ...names);
const CANARY = 'canary-5e1d';

/** A process of the command line, its own peak of memory and that of what it started. */
function ran(args) {
  const talk = ['inspect', 'model'].includes(args[0]) ? [] : ['--log', 'json'];
  const child = spawn(process.execPath, [cli, ...args, ...talk], { cwd: root });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text) => {
      if (said.length < 1e6) said += text;
    });
  let mb = 0;
  const look = (pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const own = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
      return (
        own +
        readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
          .trim()
          .split(' ')
          .filter(Boolean)
          .reduce((sum, one) => sum + look(one), 0)
      );
    } catch {
      return 0;
    }
  };
  const timer = setInterval(() => {
    mb = Math.max(mb, look(child.pid));
  }, 25);
  const end = setTimeout(() => child.kill('SIGKILL'), (MAX_SECONDS + 5) * 1000);
  const began = performance.now();
  return new Promise((resolve) =>
    child.on('close', (code, signal) => {
      clearInterval(timer);
      clearTimeout(end);
      resolve({ code, signal, said, mb: Math.round(mb), seconds: (performance.now() - began) / 1000 });
    }),
  );
}

/** zstd of `blocks` runs of 128 KiB of one byte, four bytes each. */
function zstdBomb(blocks, byte = 0x20) {
  const parts = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58])];
  for (let i = 0; i < blocks; i++) {
    const header = (Number(i === blocks - 1) | (1 << 1) | ((128 << 10) << 3)) >>> 0;
    parts.push(Buffer.from([header & 255, (header >> 8) & 255, (header >> 16) & 255, byte]));
  }
  return Buffer.concat(parts);
}
async function gzipOf(path, pieces) {
  const gzip = createGzip({ level: 9 });
  const chunks = [];
  gzip.on('data', (chunk) => chunks.push(chunk));
  const over = new Promise((resolve) => gzip.on('end', resolve));
  for (const piece of pieces)
    if (!gzip.write(piece)) await new Promise((resolve) => gzip.once('drain', resolve));
  gzip.end();
  await over;
  writeFileSync(path, Buffer.concat(chunks));
}
const spaces = Buffer.alloc(1 << 20, 0x20);
const header = (text, length = BigInt(Buffer.byteLength(text))) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(length);
  return Buffer.concat([bytes, Buffer.from(text)]);
};

try {
  await makeQuickstart(at('inputs'));
  const model = at('inputs/models/reference');
  mkdirSync(at('outside'));
  writeFileSync(at('outside/secret'), `${CANARY}\n`.repeat(1000));
  writeFileSync(at('docs.jsonl'), '{"text":"one and one are two"}\n');
  const shards = {
    'zstd bomb of 32 GiB': () => writeFileSync(at('s.jsonl.zst'), zstdBomb(262_144)),
    'zstd bomb of letters': () => writeFileSync(at('s.jsonl.zst'), zstdBomb(65_536, 0x61)),
    'zstd bombs one after another': () =>
      writeFileSync(at('s.jsonl.zst'), Buffer.concat(Array.from({ length: 64 }, () => zstdBomb(4096)))),
    'gzip bomb of 4 GiB': () => gzipOf(at('s.jsonl.gz'), Array(4096).fill(spaces)),
    'a row of 1.2 GB, jsonl': () => {
      writeFileSync(at('s.jsonl'), '{"text":"');
      for (let i = 0; i < 1200; i++) appendFileSync(at('s.jsonl'), spaces);
      appendFileSync(at('s.jsonl'), '"}\n{"text":"the row behind it"}\n');
    },
    'a row of 1.2 GB, gzip': () =>
      gzipOf(at('s.jsonl.gz'), [
        '{"text":"',
        ...Array(1200).fill(spaces),
        '"}\n{"text":"the row behind it"}\n',
      ]),
    'a row of 1.2 GB without an end': () =>
      gzipOf(at('s.jsonl.gz'), ['{"text":"', ...Array(1200).fill(spaces)]),
    'a row of 250 MB': () => gzipOf(at('s.jsonl.gz'), ['{"text":"', ...Array(250).fill(spaces), '"}\n']),
    'a parquet footer of 2 GiB': () =>
      writeFileSync(
        at('s.parquet'),
        Buffer.concat([
          Buffer.from('PAR1'),
          Buffer.alloc(64),
          Buffer.from([0xff, 0xff, 0xff, 0x7f]),
          Buffer.from('PAR1'),
        ]),
      ),
    'a shard that is a device': () => symlinkSync('/dev/zero', at('s.jsonl')),
    'a shard that is a pipe': () => execFileSync('mkfifo', [at('s.jsonl')]),
    'a shard that links to itself': () => symlinkSync('s.jsonl', at('s.jsonl')),
  };
  /** Changes of a checkpoint's folder. */
  const tensor = (more) =>
    JSON.stringify({
      'model.embed_tokens.weight': { dtype: 'F32', shape: [4, 4], data_offsets: [0, 64], ...more },
    });
  const weights = (bytes) => (folder) => writeFileSync(join(folder, 'model.safetensors'), bytes);
  const linked = (name, to) => (folder) => {
    rmSync(join(folder, name), { force: true });
    symlinkSync(to, join(folder, name));
  };
  const config = (more) => (folder) =>
    writeFileSync(
      join(folder, 'config.json'),
      JSON.stringify({ ...JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')), ...more }),
    );
  const checkpoints = {
    'a header of 2^63 bytes': weights(header('{}', 2n ** 63n)),
    'a header of 2^40 bytes': weights(header('{}', 2n ** 40n)),
    'a header of 0 bytes': weights(header('', 0n)),
    'a header longer than the file': weights(header('{"a":', 4000n)),
    'a header of brackets': weights(header('['.repeat(1 << 20))),
    'a header that is not UTF-8': weights(Buffer.concat([header('', 3n), Buffer.from([0x7b, 0xff, 0x7d])])),
    'a header with __proto__': weights(
      header('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
    ),
    'a tensor of 2^60 values': weights(header(tensor({ shape: [2 ** 30, 2 ** 30] }))),
    'a tensor of negative size': weights(header(tensor({ shape: [-4, -4] }))),
    'offsets beyond the file': weights(header(tensor({ data_offsets: [0, 2 ** 50] }))),
    'offsets that go back': weights(header(tensor({ data_offsets: [64, 0] }))),
    'a type that is none': weights(header(tensor({ dtype: 'PICKLE' }))),
    'weights that are a device': linked('model.safetensors', '/dev/zero'),
    'weights that are a text elsewhere': linked('model.safetensors', at('outside/secret')),
    'weights that link to themselves': linked('model.safetensors', 'model.safetensors'),
    'a config that is the environment': linked('config.json', '/proc/self/environ'),
    'a config that is a text elsewhere': linked('config.json', at('outside/secret')),
    'a config that is a device': linked('config.json', '/dev/zero'),
    'a tokenizer that is random': linked('tokenizer.json', '/dev/urandom'),
    'a tokenizer that is a text elsewhere': linked('tokenizer.json', at('outside/secret')),
    'an index that leads out': (folder) => {
      rmSync(join(folder, 'model.safetensors'));
      writeFileSync(
        join(folder, 'model.safetensors.index.json'),
        JSON.stringify({ weight_map: { 'lm_head.weight': '../outside/secret' } }),
      );
    },
    'code of its own (auto_map)': config({
      auto_map: { AutoModelForCausalLM: 'evil.Model' },
      architectures: ['Evil'],
    }),
    'a billion layers': config({ num_hidden_layers: 1e9 }),
    'a vocabulary of 2^53': config({ vocab_size: 2 ** 53 }),
  };
  const onnx = join(new URL('../../fixtures/models/onnx', import.meta.url).pathname);
  const [seed] = readdirSync(onnx).sort();
  const graph = (act) => (folder) => {
    const path = join(folder, 'model.onnx');
    const proto = fromBinary(ModelProtoSchema, readFileSync(path));
    act(proto, proto.graph);
    writeFileSync(path, toBinary(ModelProtoSchema, proto));
  };
  const external = (entries) =>
    graph((_, { initializer }) => {
      const one = initializer[0];
      one.dataLocation = 1;
      one.rawData = new Uint8Array(0);
      one.externalData = Object.entries(entries).map(([key, value]) => ({
        $typeName: 'onnx.StringStringEntryProto',
        key,
        value,
      }));
    });
  const exports = {
    'external data above the folder': external({ location: '../outside/secret' }),
    'external data by an absolute path': external({ location: at('outside/secret') }),
    'external data in a device': external({ location: '/dev/zero', length: '16' }),
    'external data beyond its file': external({
      location: 'model.onnx',
      offset: '99999999999',
      length: '16',
    }),
    'external data of negative offset': external({ location: 'model.onnx', offset: '-16', length: '16' }),
    'external data of 2^62 bytes': external({
      location: 'model.onnx',
      offset: '0',
      length: String(2n ** 62n),
    }),
    'external data that is not there': external({ location: 'nothing.bin' }),
    'a custom operator': graph((_, { node }) => {
      node[0].domain = 'evil.corp';
      node[0].opType = 'System';
    }),
    'an operator that is none': graph((_, { node }) => {
      node[0].opType = 'NoSuchOperator';
    }),
    'a domain of Python operators': graph((proto, { node }) => {
      node[0].domain = 'ai.onnx.contrib';
      node[0].opType = 'PyOp';
      proto.opsetImport.push({
        $typeName: 'onnx.OperatorSetIdProto',
        domain: 'ai.onnx.contrib',
        version: 1n,
      });
    }),
    'an opset of the future': graph((proto) => {
      for (const one of proto.opsetImport) one.version = 9999n;
    }),
    'a tensor of 2^62 values': graph((_, { initializer }) => {
      initializer[0].dims = [2n ** 31n, 2n ** 31n];
    }),
  };
  const cases = [
    ...Object.entries(shards).map(([name, make]) => [
      name,
      async () => {
        for (const ending of ['jsonl', 'jsonl.gz', 'jsonl.zst', 'parquet'])
          rmSync(at(`s.${ending}`), { force: true });
        await make();
        const [file] = readdirSync(root).filter((one) => one.startsWith('s.'));
        return [
          ['pack', '--shards', at(file), '--tokenizer', model, '--sequence-length', '64', '--out', at('out')],
          ['inspect', at(file)],
        ];
      },
    ]),
    ...[
      [checkpoints, model],
      [exports, join(onnx, seed)],
    ].flatMap(([changes, from]) =>
      Object.entries(changes).map(([name, act]) => [
        name,
        () => {
          rmSync(at('model'), { recursive: true, force: true });
          cpSync(from, at('model'), { recursive: true });
          act(at('model'));
          return [
            ['model', 'info', at('model')],
            [
              'score',
              '--shards',
              at('docs.jsonl'),
              '--reference',
              at('model'),
              '--tokenizer',
              name.includes('tokenizer') ? at('model') : model,
              '--sequence-length',
              '16',
              '--device',
              'cpu',
              '--cache',
              at('cache'),
              '--out',
              at('out'),
            ],
          ];
        },
      ]),
    ),
  ];
  let isBad = false;
  const total = { cases: 0, commands: 0, bad: 0, slowest: 0, most_mb: 0 };
  for (const [name, make] of cases) {
    if (values.only !== undefined && !name.includes(values.only)) continue;
    total.cases++;
    for (const args of await make()) {
      rmSync(at('out'), { recursive: true, force: true });
      const { code, signal, said, mb, seconds } = await ran(args);
      const isWrong =
        signal !== null ||
        ![0, 1, 2, 3].includes(code) ||
        /unexpected:|^ {4}at /m.test(said) ||
        said.includes(CANARY) ||
        seconds > MAX_SECONDS ||
        mb > MAX_MB;
      isBad ||= isWrong;
      total.commands++;
      total.bad += Number(isWrong);
      total.slowest = Math.max(total.slowest, seconds);
      total.most_mb = Math.max(total.most_mb, mb);
      const line =
        said
          .split('\n')
          .filter((one) => one.startsWith('tokensieve:') || /quarantined|warning/.test(one))[0] ?? '';
      console.log(
        JSON.stringify({
          case: name,
          command: args[0],
          code,
          signal,
          seconds: Number(seconds.toFixed(1)),
          mb,
          ...(isWrong && { wrong: true }),
          said: line.slice(0, 260),
        }),
      );
    }
  }
  console.log(JSON.stringify({ ...total, slowest: Number(total.slowest.toFixed(1)) }));
  if (isBad) process.exitCode = 1;
} finally {
  rmSync(root, { recursive: true, force: true });
}
