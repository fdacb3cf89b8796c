import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type CudaFacts,
  cudaFindings,
  PROVIDER_FILES,
  parseCache,
  parseDriver,
  providerFacts,
} from '#tokensieve/inspect/cuda.js';
import { findConstant, isElf, readSharedLibrary } from '#tokensieve/inspect/elf.js';
import { fixCuda } from '#tokensieve/inspect/fix-cuda.js';

const folder = mkdtempSync(join(tmpdir(), 'tokensieve-cuda-'));
afterAll(() => rmSync(folder, { recursive: true }));

const root = join(dirname(createRequire(import.meta.url).resolve('onnxruntime-node')), '..');
const libraries = join(root, 'bin', 'napi-v6', 'linux', 'x64');
const [binding, runtime] = [
  join(libraries, 'onnxruntime_binding.node'),
  join(libraries, 'libonnxruntime.so.1'),
];
const version: string = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;

describe('reading shared libraries', () => {
  it('gives the names that a library needs, as the linker wrote them', async () => {
    const { needed } = await readSharedLibrary(binding);
    expect(needed).toEqual(expect.arrayContaining(['libonnxruntime.so.1', 'libc.so.6']));
    expect(await findConstant(runtime, /1\.\d{1,2}\.\d{1,2}/)).toBe(version);
    expect(await findConstant(runtime, /no such constant/)).toBeNull();
  });

  it('refuses what is no library, cut or overwritten, without reading past its end', async () => {
    const whole = readFileSync(binding);
    const file = join(folder, 'damaged.so');
    for (const [bytes, message] of [
      [Buffer.from('not a library'), 'it ends at byte 13'],
      [Buffer.alloc(200), 'no ELF file'],
      [whole.subarray(0, whole.length >> 1), 'it ends at byte'],
    ] as const) {
      writeFileSync(file, bytes);
      await expect(readSharedLibrary(file)).rejects.toThrow(message);
      expect((await providerFacts(file)).damage).toContain(message);
    }
    // Section headers of every kind of nonsense: an error or an answer, never more memory than the file.
    for (let at = 40; at < 64; at++) {
      const broken = Buffer.from(whole);
      broken[at] = 0xff;
      writeFileSync(file, broken);
      await readSharedLibrary(file).catch((error: unknown) => expect(error).toBeInstanceOf(Error));
    }
    expect(await isElf(binding)).toBe(true);
    expect(await isElf(join(folder, 'none'))).toBe(false);
  });
});

describe('what stands in the way of CUDA', () => {
  const facts: CudaFacts = {
    runtimeVersion: '1.30.0',
    folder: '/app/bin',
    missing: [],
    provider: {
      version: '1.30.0',
      cuda: 13,
      libraries: [{ name: 'libcudart.so.13', path: '/usr/lib/libcudart.so.13' }],
      looked: ['/usr/lib'],
      elsewhere: [],
      damage: null,
    },
    driver: { version: '580.159.04', gpus: ['NVIDIA H100 80GB HBM3, 81559 MiB'] },
  };
  const provider = facts.provider ?? expect.fail();

  it('is nothing where all is there', () => {
    expect(cudaFindings(facts)).toEqual([]);
  });

  it.each<[string, CudaFacts, RegExp]>([
    [
      'files',
      { ...facts, missing: [...PROVIDER_FILES], provider: null },
      /providers_shared\.so and .*providers_cuda\.so of ONNX Runtime 1\.30\.0 not found in \/app\/bin; `tokensieve doctor --fix`/,
    ],
    [
      'another version',
      { ...facts, provider: { ...provider, version: '1.29.0' } },
      /is of ONNX Runtime 1\.29\.0, onnxruntime-node is 1\.30\.0; .*npm install onnxruntime-node@1\.29\.0/,
    ],
    [
      'a library',
      {
        ...facts,
        provider: {
          ...provider,
          libraries: [{ name: 'libcublasLt.so.13', path: null }],
          elsewhere: ['/usr/local/cuda/lib64'],
        },
      },
      /libcublasLt\.so\.13 not found by the loader.*looked in \/usr\/lib .*put \/usr\/local\/cuda\/lib64 into LD_LIBRARY_PATH/,
    ],
    ['a driver', { ...facts, driver: null }, /no NVIDIA driver: nvidia-smi does not run/],
    [
      'a newer driver',
      { ...facts, driver: { version: '535.104.05', gpus: [] } },
      /driver 535\.104\.05 is too old for CUDA 13, which needs 580 or newer/,
    ],
    [
      'a whole file',
      { ...facts, provider: { ...provider, damage: 'it is no ELF file' } },
      /\/app\/bin\/libonnxruntime_providers_cuda\.so: it is no ELF file/,
    ],
  ])('names %s that it needs', (_, given, expected) => {
    expect(cudaFindings(given)).toEqual([expect.stringMatching(expected)]);
  });

  it('reads what nvidia-smi and ldconfig print', () => {
    expect(
      parseDriver('580.159.04, NVIDIA H100 80GB HBM3, 81559 MiB\n580.159.04, NVIDIA H100, 81559 MiB\n'),
    ).toEqual({
      version: '580.159.04',
      gpus: ['NVIDIA H100 80GB HBM3, 81559 MiB', 'NVIDIA H100, 81559 MiB'],
    });
    expect(parseDriver('No devices were found\n')).toBeNull();
    const cache = parseCache(
      '12 libs found in cache\n\tlibcuda.so.1 (libc6,x86-64) => /usr/lib/libcuda.so.1\n\tlibcuda.so.1 (libc6) => /usr/lib32/libcuda.so.1\n',
    );
    expect([...cache]).toEqual([['libcuda.so.1', '/usr/lib/libcuda.so.1']]);
  });
});

describe('doctor --fix', () => {
  const place = (name: string): CudaFacts => {
    mkdirSync(join(folder, name));
    return {
      runtimeVersion: version,
      folder: join(folder, name),
      missing: [...PROVIDER_FILES],
      provider: null,
      driver: null,
    };
  };
  const [shared = '', cuda = ''] = PROVIDER_FILES;

  it('links a provider that lies elsewhere, over the note that an installation left', async () => {
    const facts = place('linked');
    const source = join(folder, 'source');
    mkdirSync(source);
    copyFileSync(binding, join(source, shared));
    symlinkSync(runtime, join(source, cuda));
    writeFileSync(join(facts.folder, cuda), 'Not a library: …');
    expect(await fixCuda(facts, join(source, cuda))).toHaveLength(2);
    expect(readlinkSync(join(facts.folder, cuda))).toBe(join(source, cuda));
    expect(readlinkSync(join(facts.folder, shared))).toBe(join(source, shared));
    await expect(fixCuda({ ...facts, runtimeVersion: '1.2.3' }, source)).rejects.toMatchObject({
      code: 'wrong-provider',
      message: expect.stringContaining(`ONNX Runtime ${version}, onnxruntime-node is 1.2.3`),
    });
  });

  it('refuses a path without one, and touches nothing', async () => {
    const facts = place('refused');
    const notes = join(folder, 'notes');
    mkdirSync(notes);
    for (const name of PROVIDER_FILES) writeFileSync(join(notes, name), 'Not a library: …');
    await expect(fixCuda(facts, notes)).rejects.toMatchObject({ code: 'no-provider' });
    await expect(fixCuda(facts, join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'no-provider' });
  });
});

describe.runIf(platform() === 'linux' && arch() === 'x64')(
  'installing where the CUDA host cannot be reached',
  () => {
    it('leaves notes that keep the install script from failing, unless told what to do', () => {
      const app = join(folder, 'app');
      const ort = join(app, 'node_modules', 'onnxruntime-node');
      const own = join(app, 'node_modules', 'tokensieve', 'scripts');
      const into = join(ort, 'bin', 'napi-v6', 'linux', 'x64');
      for (const path of [join(ort, 'script'), own, into]) mkdirSync(path, { recursive: true });
      for (const name of [
        'package.json',
        ...['install', 'install-utils', 'install-metadata', 'install-metadata-versions'].map(
          (script) => `script/${script}.js`,
        ),
      ])
        copyFileSync(join(root, name), join(ort, name));
      for (const name of ['global-agent', 'adm-zip']) {
        mkdirSync(join(app, 'node_modules', name));
        writeFileSync(join(app, 'node_modules', name, 'index.js'), 'exports.bootstrap = () => undefined;');
      }
      copyFileSync(
        fileURLToPath(new URL('../../scripts/preinstall.mjs', import.meta.url)),
        join(own, 'preinstall.mjs'),
      );
      const offline = join(app, 'offline.cjs');
      writeFileSync(
        offline,
        "require('dns').lookup = (name, options, done) => (done ?? options)(new Error('no ' + name));",
      );
      const run = (script: string, env: Readonly<Record<string, string>> = {}) =>
        spawnSync(process.execPath, ['--require', offline, script], {
          encoding: 'utf8',
          env: { PATH: process.env['PATH'] ?? '', ...env },
        });
      const install = join(ort, 'script', 'install.js');
      expect(run(install).status).not.toBe(0);
      expect(run(join(own, 'preinstall.mjs'), { ONNXRUNTIME_NODE_INSTALL: 'cuda12' }).status).toBe(0);
      expect(run(install).status).not.toBe(0);
      expect(run(join(own, 'preinstall.mjs')).status).toBe(0);
      expect(run(install)).toMatchObject({ status: 0, stderr: '' });
      expect(readFileSync(join(into, cuda()), 'utf8')).toContain('tokensieve doctor --fix');
    });
    const cuda = (): string => PROVIDER_FILES[1];
  },
);
