/**
 * Disks that fill up, turn read-only or go away under a run, for real: a small tmpfs that the test mounts. The command ends
 * with one line, nothing half-written has a final name, and the same command afterwards leaves the bytes of a clean run.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { TokensieveError } from '#tokensieve/errors.js';
import { packCorpus } from '#tokensieve/pack/pack-run.js';
import { packSchema } from '#tokensieve/pack/settings.js';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { cliPath, digestFolder, filesBelow, runCli, startCli } from '../support/cli.js';
import { manySmallParts, quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { openTally } from '../support/tally.js';

const tally = openTally('disk');
afterAll(() => tally.print());

const root = temporaryFolder(existsSync('/dev/shm') ? '/dev/shm' : undefined);
/** A file system of its own, whose size the tests choose. */
const disk = join(root, 'disk');
const canMount = mount('size=1m');
if (!canMount)
  console.warn('skipped: no tmpfs can be mounted here (disks that fill up or turn read-only are not tested)');
afterAll(() => {
  if (canMount) execFileSync('umount', [disk]);
});

function mount(options: string): boolean {
  mkdirSync(disk, { recursive: true });
  return (
    spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tokensieve', disk], { stdio: 'ignore' }).status === 0
  );
}
const remount = (options: string): void => {
  execFileSync('mount', ['-o', `remount,${options}`, disk]);
};
const umountAndMount = (options: string): void => {
  execFileSync('umount', [disk]);
  if (!mount(options)) throw new Error(`mount ${options}`);
};

let shards: string;
let tokenizer: string;
let clean: Record<string, string>;
let cleanBytes = 0;

beforeAll(async () => {
  const inputs = await quickstartInputs(join(root, 'inputs'));
  tokenizer = inputs.reference;
  shards = await manySmallParts(join(root, 'corpus'));
  await pack(join(root, 'clean'));
  clean = digestFolder(join(root, 'clean'));
  cleanBytes = filesBelow(join(root, 'clean')).reduce((sum, path) => sum + statSync(path).size, 0);
});

const settingsOf = (out: string) =>
  parseSettings(
    packSchema,
    {
      shards: [shards],
      tokenizer: { path: tokenizer },
      out,
      sequence: { length: 128 },
      corpus: { part_bytes: 8192 },
    },
    'test',
  );

const pack = (out: string, sink: (event: RunEvent) => void = () => undefined) =>
  packCorpus(settingsOf(out), {
    storage: localStorage(),
    sink,
    signal: new AbortController().signal,
    replace: false,
  });

const packArgs = (out: string): string[] => [
  ...['pack', '--shards', shards, '--tokenizer', tokenizer, '--out', out],
  ...['--sequence-length', '128', '--part-bytes', '8192', '--log', 'none'],
];

/** Final names only: what is there is whole, and no staging file is left. */
function expectWhole(out: string): void {
  for (const path of filesBelow(out)) {
    expect(path).not.toMatch(/\.staging$/);
    const name = path.slice(out.length + 1);
    const bytes = readFileSync(path);
    expect(bytes.equals(readFileSync(join(root, 'clean', name))), name).toBe(true);
  }
}

function healed(fault: string, out: string): void {
  const after = digestFolder(out);
  tally.add(fault, clean, after);
  expect(after).toEqual(clean);
}

describe.skipIf(!canMount)('a disk', () => {
  const out = join(disk, 'out');

  it('that fills up, at many places, ends the run with one line', async () => {
    let full = 0;
    for (let tenth = 1; tenth <= 9; tenth += 2) {
      // tmpfs counts pages: files of a part take at least one each.
      umountAndMount(`size=${Math.floor((cleanBytes * tenth) / 10 / 4096) * 4096}`);
      const error = await pack(out).catch((reason: unknown) => reason);
      expect(error, `${tenth} tenths`).toBeInstanceOf(TokensieveError);
      expect(error).toMatchObject({
        reach: 'fatal',
        code: 'disk-full',
        message: expect.stringContaining('ENOSPC'),
      });
      expectWhole(out);
      full++;
      remount('size=64m');
      await pack(out);
      healed('disk full, bytes', out);
    }
    expect(full).toBe(5);
  });

  it('that is out of files, at every place where one is made, ends the run with one line', async () => {
    const stopped: string[] = [];
    for (let inodes = 3; inodes < 24; inodes += 3) {
      umountAndMount(`size=64m,nr_inodes=${inodes}`);
      const error = await pack(out).catch((reason: unknown) => reason);
      expect(error, `${inodes} inodes`).toBeInstanceOf(TokensieveError);
      expect(error).toMatchObject({ reach: 'fatal', code: 'disk-full' });
      stopped.push(String((error as Error).message).split(':')[0] ?? '');
      expectWhole(out);
      remount('nr_inodes=100000');
      await pack(out);
      healed('disk full, files', out);
    }
    // Folders and files of several parts: not one place alone.
    expect(new Set(stopped).size).toBeGreaterThan(3);
  });

  it('that turns read-only between two parts ends the run with one line', async () => {
    umountAndMount('size=64m');
    let parts = 0;
    const error = await pack(out, ({ event }) => {
      if (event === 'part-done' && ++parts === 3) remount('ro');
    }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      reach: 'fatal',
      code: 'not-writable',
      message: expect.stringContaining('read-only'),
    });
    expectWhole(out);
    const outcome = await runCli(packArgs(out));
    expect(outcome.code).toBe(1);
    expect(outcome.stderr.trim().split('\n')).toEqual([expect.stringMatching(/^tokensieve: .*read-only/)]);
    remount('rw');
    await pack(out);
    healed('disk read-only', out);
  });

  it('that is full is told by the command line in one line, with exit code 1', async () => {
    umountAndMount(`size=${Math.floor(cleanBytes / 8192) * 4096}`);
    const outcome = await runCli(packArgs(out));
    expect(outcome.code).toBe(1);
    expect(outcome.stderr.trim().split('\n')).toEqual([
      expect.stringMatching(/^tokensieve: .*no space left/),
    ]);
    expectWhole(out);
    remount('size=64m');
    await pack(out);
    healed('disk full, bytes', out);
  });
});

describe('a limit on the size of files', () => {
  it.skipIf(process.platform === 'win32')('is told in one line, whoever runs the command', async () => {
    const out = join(root, 'limited');
    const largest = Math.max(...filesBelow(join(root, 'clean')).map((path) => statSync(path).size));
    // In blocks of 1024 bytes: the largest files do not fit.
    const limit = Math.floor(largest / 1024 / 2);
    const line = ['ulimit -f "$0"; exec "$@"', String(limit), process.execPath, cliPath, ...packArgs(out)];
    const { status, stderr } = spawnSync('bash', ['-c', ...line], { encoding: 'utf8' });
    expect(stderr.trim().split('\n')).toEqual([expect.stringMatching(/^tokensieve: .*EFBIG/)]);
    expect(status).toBe(1);
    expectWhole(out);
    await pack(out);
    healed('file size limit (ulimit -f)', out);
  });
});

describe('an output folder', () => {
  it('that is removed under a run is told, not passed over', async () => {
    const out = join(root, 'vanishing');
    for (const at of [1, 4, 8]) {
      rmSync(out, { recursive: true, force: true });
      let parts = 0;
      const error = await pack(out, ({ event }) => {
        if (event === 'part-done' && ++parts === at) rmSync(out, { recursive: true });
      }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ reach: 'fatal', code: 'claim-lost' });
      await pack(out);
      healed('output folder removed', out);
    }
  });

  it('keeps nothing of staged files that a killed process left and the disk then spoilt', async () => {
    const out = join(root, 'spoilt');
    const running = startCli([...packArgs(out).slice(0, -1), 'json'], {
      onLine: (line) => {
        if (line.includes('"data-committed"')) running.child.kill('SIGKILL');
      },
    });
    expect((await running.outcome).signal).toBe('SIGKILL');
    // Whatever it had staged, and a file that looks like another host's.
    const staged = filesBelow(out).filter((path) => path.endsWith('.staging'));
    for (const [i, path] of staged.entries()) {
      if (i % 2 === 0) truncateSync(path, 0);
      else writeFileSync(path, 'spoilt');
    }
    await pack(out);
    healed('staged files spoilt', out);
  });

  it('is written alike by two processes at once', async () => {
    for (let round = 0; round < 2; round++) {
      const out = join(root, `shared-${round}`);
      const both = await Promise.all([runCli(packArgs(out)), runCli(packArgs(out))]);
      // The jsonl shard has rows without text: exit code 3.
      expect(
        both.map(({ code }) => code),
        both.map(({ stderr }) => stderr).join(''),
      ).toEqual([3, 3]);
      healed('two processes at once', out);
      expect(readdirSync(join(out, '.writers'))).toEqual([]);
    }
  });
});

describe('a clock', () => {
  it('that jumps a day ahead and two days back under a run changes nothing', async () => {
    const out = join(root, 'jumping');
    const jump = `let shift = 0; const now = Date.now; Date.now = () => now() + shift;
      const Real = Date; globalThis.Date = class extends Real { constructor(...a) { a.length ? super(...a) : super(now() + shift); } static now() { return now() + shift; } };
      let n = 0; setInterval(() => { shift = n++ % 2 ? -172800000 : 86400000; }, 20).unref();`;
    const outcome = await startCli(packArgs(out), {
      env: { ...process.env, NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(jump)}` },
    }).outcome;
    expect(outcome.code, outcome.stderr).toBe(3);
    healed('clock jumps', out);
    // Files from the future, and from long ago, are as good as others.
    for (const [i, path] of filesBelow(out).entries()) {
      const time = Date.now() / 1000 + (i % 2 ? 1e6 : -1e8);
      utimesSync(path, time, time);
    }
    expect(await pack(out)).toMatchObject({
      damaged: 0,
      resumed: Object.keys(clean).filter((name) => name.endsWith('.manifest.json')).length,
    });
    healed('clock jumps', out);
    expect(existsSync(join(out, 'packed'))).toBe(true);
  });
});
