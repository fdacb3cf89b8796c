import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { diagnosisText } from '#tokensieve/cli/views/diagnosis.js';
import { diagnose } from '#tokensieve/inspect/doctor.js';
import { cgroupLimits } from '#tokensieve/inspect/machine.js';
import { tokensieve } from '../cli/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'tokensieve-doctor-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('doctor', () => {
  it('tries the providers, codecs and folders of this machine', async () => {
    const cache = join(folder, 'cache', 'deep');
    const diagnosis = await diagnose(cache, folder);
    expect(diagnosis.cpuWorks).toBe(true);
    expect(diagnosis.machine.parallelism).toBe(availableParallelism());
    expect(diagnosis.runtime.version).toMatch(/^1\.\d+\.\d+$/);
    const [cpu, cuda] = diagnosis.runtime.devices;
    expect(cpu).toMatchObject({ device: 'cpu', loads: true, remedy: null });
    expect(cpu?.detail).toBe(`onnxruntime ${diagnosis.runtime.version}`);
    // A device that does not load comes with what to do about it.
    expect(cuda?.loads ? cuda.remedy : (cuda?.remedy ?? '')).toSatisfy(
      (remedy) => remedy === null || remedy.length > 20,
    );
    for (const name of ['zstd codec', 'lz4 codec', 'cache folder']) {
      expect(diagnosis.checks.find((check) => check.name === name)?.works, name).toBe(true);
    }
    expect(readdirSync(cache)).toEqual([]);
    expect(diagnosis.disks.map(({ folder: where }) => where)).toEqual([folder, cache]);
    for (const { freeBytes } of diagnosis.disks) expect(freeBytes).toBeGreaterThan(0);

    const text = diagnosisText(diagnosis);
    expect(text.split('\n').length).toBeLessThanOrEqual(40);
    expect(text).toContain('Scoring on the CPU works here.');
    expect(text).not.toMatch(/https?:/);
  });

  it('tells of a Python that is missing, and of one without the packages, what to do', () => {
    const none = tokensieve(['doctor'], { TOKENSIEVE_PYTHON: '/no/such/python' });
    expect(none.out).toMatch(/engine torch +no +no \/no\/such\/python here; install Python/);
    const bare = join(folder, 'bare-python');
    const missing = "ModuleNotFoundError: No module named 'pyarrow'";
    writeFileSync(bare, `#!/bin/sh\necho Traceback >&2\necho "${missing}" >&2\nexit 1\n`, { mode: 0o755 });
    const { code, out } = tokensieve(['doctor'], { TOKENSIEVE_PYTHON: bare });
    expect(out).toContain(
      `Python package 'pyarrow' is missing; ${bare} -m pip install torch transformers pyarrow`,
    );
    expect(code).toBe(0);
  });

  it('says which folder cannot be written, and ends well: the CPU still works', () => {
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    const { code, out } = tokensieve(['doctor'], { XDG_CACHE_HOME: file });
    expect(out).toMatch(/cache folder +no +.*a-file.*XDG_CACHE_HOME/);
    expect(code).toBe(0);
  });
});

describe('limits of the control group', () => {
  const group = (name: string, files: Readonly<Record<string, string>>): string => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(folder, name, path, '..'), { recursive: true });
      writeFileSync(join(folder, name, path), `${text}\n`);
    }
    return join(folder, name);
  };

  it.each<[string, Record<string, string>, number | null, number | null]>([
    ['v2', { 'memory.max': '2147483648', 'cpu.max': '150000 100000' }, 2 ** 31, 1.5],
    ['v2-free', { 'memory.max': 'max', 'cpu.max': 'max 100000' }, null, null],
    [
      'v1',
      {
        'memory/memory.limit_in_bytes': '1073741824',
        'cpu/cpu.cfs_quota_us': '50000',
        'cpu/cpu.cfs_period_us': '100000',
      },
      2 ** 30,
      0.5,
    ],
    [
      'v1-free',
      {
        'memory/memory.limit_in_bytes': '9223372036854771712',
        'cpu/cpu.cfs_quota_us': '-1',
        'cpu/cpu.cfs_period_us': '100000',
      },
      null,
      null,
    ],
    ['none', {}, null, null],
  ])('%s', async (name, files, memoryBytes, cores) => {
    expect(await cgroupLimits(group(name, files))).toEqual({ memoryBytes, cores });
  });

  it('of a nested group are the tightest on the way up', async () => {
    const root = group('nested', {
      'job/memory.max': '1000000',
      'job/cpu.max': 'max 100000',
      'job/step/memory.max': 'max',
      'job/step/cpu.max': '300000 100000',
    });
    expect(await cgroupLimits(root, '/job/step')).toEqual({ memoryBytes: 1000000, cores: 3 });
    expect(await cgroupLimits(root, '/job')).toEqual({ memoryBytes: 1000000, cores: null });
  });
});
