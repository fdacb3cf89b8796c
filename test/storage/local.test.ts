import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { localStorage, sweepStaging } from '#tokensieve/storage/local.js';
import { isStagingName, stagingName } from '#tokensieve/storage/staging.js';

const storage = localStorage();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tokensieve-storage-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('reading', () => {
  it('gives the size and exactly the bytes asked for', async () => {
    const path = join(folder, 'a');
    writeFileSync(path, 'hello world');
    expect(await storage.stat(path)).toEqual({
      size: 11,
      modified: expect.any(Number),
      pin: expect.any(String),
    });
    expect(Buffer.from(await storage.readRange(path, 6, 11)).toString()).toBe('world');
    expect(await storage.readRange(path, 4, 4)).toHaveLength(0);
  });

  it.each([
    [0, 12],
    [5, 2 ** 45],
    [-1, 3],
    [4, 3],
    [Number.NaN, 3],
  ])('refuses bytes [%d, %d) of a file of 11, and allocates nothing', async (start, end) => {
    const path = join(folder, 'a');
    writeFileSync(path, 'hello world');
    await expect(storage.readRange(path, start, end)).rejects.toMatchObject({
      reach: 'input',
      code: 'short-read',
      message: expect.stringContaining(path),
    });
  });

  it('names what is missing, and what is no file', async () => {
    const missing = join(folder, 'none');
    await expect(storage.stat(missing)).rejects.toMatchObject({
      reach: 'input',
      code: 'not-found',
      message: expect.stringContaining(missing),
    });
    await expect(storage.readRange(missing, 0, 1)).rejects.toMatchObject({ code: 'not-found' });
    await expect(storage.stat(folder)).rejects.toMatchObject({ reach: 'input', code: 'not-a-file' });
  });
});

describe('listing', () => {
  it('gives every file below, sorted by code unit, with the folder as it was named', async () => {
    for (const name of ['b', 'a/z', 'a/Z', 'é', 'a.b', 'a/deep/er/x']) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), '');
    }
    writeFileSync(join(folder, stagingName('b')), '');
    symlinkSync(join(folder, 'b'), join(folder, 'link'));
    symlinkSync(folder, join(folder, 'a', 'loop'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
    const names = ['a.b', 'a/Z', 'a/deep/er/x', 'a/z', 'b', 'link', 'é'];
    expect(await storage.list(folder)).toEqual(names.map((name) => `${folder}/${name}`));
    expect(await storage.list(`${folder}/`)).toEqual(names.map((name) => `${folder}/${name}`));
    expect(await storage.list(folder, { shallow: true })).toEqual(
      ['a.b', 'b', 'link', 'é'].map((name) => `${folder}/${name}`),
    );
  });

  it('is empty where there is no folder', async () => {
    expect(await storage.list(join(folder, 'none'))).toEqual([]);
  });
});

describe('staging', () => {
  it('shows nothing under the name until the commit, then everything at once', async () => {
    const path = join(folder, 'new', 'deep', 'file');
    const staged = await storage.stage(path);
    await staged.write(bytes('one '));
    await staged.write(bytes('two'));
    expect(existsSync(path)).toBe(false);
    expect(await storage.list(folder)).toEqual([]);
    await staged.commit();
    expect(readFileSync(path, 'utf8')).toBe('one two');
    expect(readdirSync(join(folder, 'new', 'deep'))).toEqual(['file']);
    await staged.abort();
    expect(existsSync(path)).toBe(true);
    await expect(staged.write(bytes('x'))).rejects.toMatchObject({ code: 'staging-closed' });
  });

  it('replaces what was there; an abort leaves it alone', async () => {
    const path = join(folder, 'file');
    writeFileSync(path, 'old');
    const dropped = await storage.stage(path);
    await dropped.write(bytes('never'));
    await dropped.abort();
    await dropped.abort();
    expect(readFileSync(path, 'utf8')).toBe('old');
    const kept = await storage.stage(path);
    await kept.write(bytes('new'));
    await kept.commit();
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readdirSync(folder)).toEqual(['file']);
  });

  it('lets two writers of one name finish in turn', async () => {
    const path = join(folder, 'file');
    const [first, second] = await Promise.all([storage.stage(path), storage.stage(path)]);
    await Promise.all([first.write(bytes('first')), second.write(bytes('second'))]);
    await second.commit();
    await first.commit();
    expect(readFileSync(path, 'utf8')).toBe('first');
    expect(readdirSync(folder)).toEqual(['file']);
  });

  it('takes names as long as the file system does', async () => {
    const path = join(folder, 'é'.repeat(127));
    const staged = await storage.stage(path);
    await staged.commit();
    expect(existsSync(path)).toBe(true);
    await expect(
      storage.stage(join(folder, 'x'.repeat(256))).then((file) => file.commit()),
    ).rejects.toMatchObject({ reach: 'usage', code: 'name-too-long' });
    expect(readdirSync(folder)).toEqual(['é'.repeat(127)]);
  });

  it('fails in one line when a folder stands in its place, and leaves nothing', async () => {
    const path = join(folder, 'taken');
    mkdirSync(join(path, 'inner'), { recursive: true });
    const staged = await storage.stage(path);
    await expect(staged.commit()).rejects.toMatchObject({
      reach: 'fatal',
      message: expect.stringContaining(path),
    });
    expect(readdirSync(folder)).toEqual(['taken']);
  });

  it('sweeps what dead processes left, and nothing else', async () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    const own = stagingName('alive.arrow');
    const left = own.replace(`-${process.pid}-`, `-${dead}-`);
    const elsewhere = left.replace(/\.[0-9a-f]{8}-/, '.00000000-');
    mkdirSync(join(folder, 'part'));
    for (const name of [own, left, elsewhere, '.hidden', 'x.staging'])
      writeFileSync(join(folder, 'part', name), '');
    expect(isStagingName(left)).toBe(true);
    expect(await sweepStaging(folder)).toEqual([`${folder}/part/${left}`]);
    expect(readdirSync(join(folder, 'part')).sort()).toEqual([own, elsewhere, '.hidden', 'x.staging'].sort());
  });

  it('removes, and does not mind when there is nothing to remove', async () => {
    const path = join(folder, 'file');
    writeFileSync(path, '');
    await storage.remove(path);
    await storage.remove(path);
    expect(existsSync(path)).toBe(false);
  });
});

/** A file system of one megabyte; null where we may not mount one. */
function smallDisk(): string | null {
  const mount = join(folder, 'disk');
  mkdirSync(mount);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tokensieve-test', mount], { stdio: 'ignore' });
    return mount;
  } catch {
    return null;
  }
}

describe('a disk that refuses', () => {
  it('full: one plain line, and nothing left under any name', async ({ skip }) => {
    const disk = smallDisk();
    if (disk === null) {
      console.warn('skipped: disk-full test (mounting a tmpfs needs root)');
      return skip();
    }
    try {
      const path = join(disk, 'out', 'part.arrow');
      const staged = await storage.stage(path);
      const write = async (): Promise<void> => {
        for (let i = 0; i < 64; i++) await staged.write(new Uint8Array(2 ** 16));
      };
      const error = await write().then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ name: 'TokensieveError', reach: 'fatal', code: 'disk-full' });
      expect(String(error)).toContain(path);
      expect(String(error)).not.toContain('\n');
      expect(readdirSync(join(disk, 'out'))).toEqual([]);
      // There is room again: the staged bytes are gone, too.
      const again = await storage.stage(path);
      await again.write(new Uint8Array(2 ** 19));
      await again.commit();
      expect((await storage.stat(path)).size).toBe(2 ** 19);
      execFileSync('mount', ['-o', 'remount,ro', disk], { stdio: 'ignore' });
      await expect(storage.stage(path)).rejects.toMatchObject({ reach: 'fatal', code: 'not-writable' });
    } finally {
      execFileSync('umount', [disk]);
    }
  });

  it('a folder without permission', async ({ skip }) => {
    if (process.getuid?.() === 0) {
      console.warn('skipped: permission test (root may write anywhere)');
      return skip();
    }
    chmodSync(folder, 0o500);
    await expect(storage.stage(join(folder, 'x'))).rejects.toMatchObject({
      reach: 'fatal',
      code: 'not-writable',
    });
  });
});

describe('a file that stands alone', () => {
  it('is staged where what dead processes left under its name is removed first, and nothing else', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const mine = stagingName('answers.jsonl');
    const left = mine.replace(`-${process.pid}-`, `-${pid}-`);
    const others = stagingName('verdicts.jsonl').replace(`-${process.pid}-`, `-${pid}-`);
    for (const name of [mine, left, others]) writeFileSync(join(folder, name), 'x');
    const path = join(folder, 'answers.jsonl');
    const file = await storage.stage(path, { alone: true });
    await file.write(Buffer.from('{}\n'));
    await file.commit();
    expect(readdirSync(folder).sort()).toEqual([mine, others, 'answers.jsonl'].sort());
  });
});
