/**
 * Files of finished parts that rot on disk: cut, emptied, lost, flipped, replaced by something else. The same command
 * makes exactly the damaged parts again, and the folder has the bytes that it had.
 */
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { parseManifest } from '#tokensieve/dataset/manifest.js';
import { packedFolder, scoredFolder, weightedFolder } from '#tokensieve/dataset/part-files.js';
import { verifyFolder } from '#tokensieve/dataset/verify.js';
import { withdrawParts } from '#tokensieve/dataset/withdraw.js';
import { packCorpus } from '#tokensieve/pack/pack-run.js';
import { packSchema } from '#tokensieve/pack/settings.js';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { scoreCorpus } from '#tokensieve/score/score-run.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { digestFolder, filesBelow, runCli } from '../support/cli.js';
import {
  manySmallParts,
  type QuickstartInputs,
  quickstartInputs,
  temporaryFolder,
} from '../support/quickstart.js';
import { openTally } from '../support/tally.js';

const storage = localStorage();
const tally = openTally('damage');
afterAll(() => tally.print());

/** Flips one bit of the file, `share` of the way through it. */
function flip(path: string, share: number, bit = 3): void {
  const bytes = readFileSync(path);
  const at = Math.min(bytes.length - 1, Math.floor(bytes.length * share));
  bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
  writeFileSync(path, bytes);
}

const cut = (path: string, share: number): void =>
  truncateSync(path, Math.floor(statSync(path).size * share));

type Damage = readonly [fault: string, suffix: string, act: (path: string) => void];

/** What sizes and manifests tell: a resumed run notices it by itself. */
const NOTICED: readonly Damage[] = [
  ['data file cut', '.arrow', (path) => cut(path, 0.5)],
  ['data file empty', '.arrow', (path) => truncateSync(path, 0)],
  ['data file lost', '.arrow', (path) => rmSync(path)],
  ['data file longer', '.arrow', (path) => writeFileSync(path, 'more', { flag: 'a' })],
  ['documents file cut', '.documents.arrow', (path) => cut(path, 0.9)],
  ['documents file lost', '.documents.arrow', (path) => rmSync(path)],
  ['quarantine file cut', '.quarantine.jsonl', (path) => cut(path, 0.5)],
  ['quarantine file lost', '.quarantine.jsonl', (path) => rmSync(path)],
  ['manifest with a flipped bit', '.manifest.json', (path) => flip(path, 0.3)],
  ['manifest with a flipped bit', '.manifest.json', (path) => flip(path, 0.7)],
  ['manifest with a flipped bit', '.manifest.json', (path) => flip(path, 0.99)],
  ['manifest cut', '.manifest.json', (path) => cut(path, 0.5)],
  ['manifest empty', '.manifest.json', (path) => truncateSync(path, 0)],
  ['manifest of zeros', '.manifest.json', (path) => writeFileSync(path, Buffer.alloc(4096))],
  ['manifest of something else', '.manifest.json', (path) => writeFileSync(path, '{"name":"other"}\n')],
  ['manifest far too long', '.manifest.json', (path) => writeFileSync(path, Buffer.alloc(5_000_000, 0x20))],
];

/** What only reading tells: `verify` finds it. */
const HIDDEN: readonly Damage[] = [
  ['data file with a flipped bit', '.arrow', (path) => flip(path, 0.2)],
  ['data file with a flipped bit', '.arrow', (path) => flip(path, 0.6)],
  ['data file with a flipped bit', '.arrow', (path) => flip(path, 0.95)],
  ['documents file with a flipped bit', '.documents.arrow', (path) => flip(path, 0.5)],
  ['quarantine file with a flipped bit', '.quarantine.jsonl', (path) => flip(path, 0.5)],
];

describe('damage to finished parts', () => {
  const root = temporaryFolder();
  let inputs: QuickstartInputs;
  let shards: string;
  const out = join(root, 'out');
  const clean: Record<string, string> = {};
  const [scored, weighted, packed] = [scoredFolder(out), weightedFolder(out), packedFolder(out)];

  interface Done {
    /** Files of parts that were made: `<shard>/<part>`. */
    readonly made: readonly string[];
    readonly warnings: readonly string[];
  }

  async function watch(run: (sink: (event: RunEvent) => void) => Promise<unknown>): Promise<Done> {
    const made: string[] = [];
    const warnings: string[] = [];
    await run((event) => {
      if (event.event === 'part-started') made.push(`${event.shard}/${String(event.part).padStart(5, '0')}`);
      if (event.event === 'warning') warnings.push(event.message);
    });
    return { made: made.sort(), warnings };
  }
  const options = (sink: (event: RunEvent) => void) => ({
    storage,
    sink,
    signal: new AbortController().signal,
    replace: false,
  });

  const shared = { corpus: { part_bytes: 8192, keep: ['url'] }, sequence: { length: 128 } };
  const commands: Readonly<Record<string, () => Promise<Done>>> = {
    [scored]: () => {
      const { reference, current } = inputs;
      const score = { device: 'cpu' as const, batch_tokens: 1024 };
      const run = { cache: join(root, 'cache'), threads: 1 };
      const settings = { ...shared, shards: [shards], reference, current, out, score, run };
      return watch((sink) => scoreCorpus(parsePipeline(settings, 'test'), options(sink)));
    },
    [weighted]: () => {
      const settings = selectionSettings.parse({ method: 'slm', keep: 0.5 });
      return watch((sink) => selectRun(out, weighted, settings, options(sink)));
    },
    [packed]: () => {
      const settings = { ...shared, shards: [shards], tokenizer: { path: inputs.reference }, out };
      return watch((sink) => packCorpus(parseSettings(packSchema, settings, 'test'), options(sink)));
    },
  };
  const again = (folder: string): Promise<Done> => {
    const command = commands[folder];
    if (command === undefined) throw new Error(folder);
    return command();
  };

  beforeAll(async () => {
    inputs = await quickstartInputs(join(root, 'inputs'));
    shards = await manySmallParts(join(root, 'corpus'));
    for (const folder of [scored, weighted, packed]) {
      const { made } = await again(folder);
      expect(made.length).toBeGreaterThan(8);
    }
    Object.assign(clean, digestFolder(out));
    expect((await verifyFolder(storage, out)).findings).toEqual([]);
  });

  /** A file of each damage in another part where there are enough, by the parts' names. */
  function spread(folder: string, damages: readonly Damage[]): Map<string, readonly [string, Damage]> {
    const chosen = new Map<string, readonly [string, Damage]>();
    for (const damage of damages) {
      const path = filesBelow(folder).find(
        (file) =>
          /\/\d{5}$/.test(file.replace(damage[1], '')) &&
          file.endsWith(damage[1]) &&
          !chosen.has(partOf(folder, file)),
      );
      if (path !== undefined) chosen.set(partOf(folder, path), [path, damage]);
    }
    return chosen;
  }
  const partOf = (folder: string, path: string): string =>
    relative(folder, path).replace(/(\/\d{5})\..*/, '$1');

  /** Rounds of damages, as many at once as there are parts to bear one each. */
  async function rounds(
    folder: string,
    damages: readonly Damage[],
    heal: (paths: readonly string[]) => Promise<Done>,
  ): Promise<number> {
    let left = damages.filter(([, suffix]) => filesBelow(folder).some((path) => path.endsWith(suffix)));
    let applied = 0;
    while (left.length > 0) {
      const chosen = spread(folder, left);
      for (const [path, [, , act]] of chosen.values()) act(path);
      const paths = [...chosen.values()].map(([path]) => path);
      const { made } = await heal(paths);
      // The damaged parts, all of them and no others.
      expect(made).toEqual([...chosen.keys()].sort());
      const after = digestFolder(out);
      for (const [, [fault]] of chosen.values()) tally.add(fault, clean, after);
      expect(after).toEqual(clean);
      const used = new Set([...chosen.values()].map(([, damage]) => damage));
      left = left.filter((damage) => !used.has(damage));
      applied += used.size;
    }
    return applied;
  }

  it.each([scored, weighted, packed])('is noticed and repaired by the same command: %s', async (folder) => {
    const applied = await rounds(folder, NOTICED, async (paths) => {
      const { findings } = await verifyFolder(storage, folder);
      for (const path of paths) expect(findings.map(({ file }) => file)).toContain(path);
      const done = await again(folder);
      for (const path of paths) expect(done.warnings.join('\n')).toContain(path);
      return done;
    });
    expect(applied).toBeGreaterThanOrEqual(folder === weighted ? 12 : NOTICED.length);
  });

  it.each([scored, weighted, packed])(
    'of the same size is found by verify, and repaired: %s',
    async (folder) => {
      const applied = await rounds(folder, HIDDEN, async (paths) => {
        const { findings, damaged } = await verifyFolder(storage, out);
        expect([...new Set(findings.map(({ file }) => file))].sort()).toEqual([...paths].sort());
        expect(damaged).toHaveLength(paths.length);
        await withdrawParts(storage, out, damaged);
        return again(folder);
      });
      expect(applied).toBe(folder === weighted ? 3 : HIDDEN.length);
    },
  );

  it('of scored files stops a selection, which names the file and leaves nothing', async () => {
    const other = join(root, 'selected');
    for (const [fault, suffix, act] of [...NOTICED.slice(0, 3), ...HIDDEN.slice(0, 3)]) {
      const [path = ''] = filesBelow(scored).filter((file) => new RegExp(`/\\d{5}${suffix}$`).test(file));
      const whole = readFileSync(path);
      act(path);
      const settings = selectionSettings.parse({ method: 'slm', keep: 0.5 });
      const selecting = selectRun(
        out,
        other,
        settings,
        options(() => undefined),
      );
      await expect(selecting, fault).rejects.toMatchObject({
        reach: 'fatal',
        message: expect.stringContaining(path),
      });
      expect(filesBelow(other)).toEqual([]);
      writeFileSync(path, whole);
    }
  });

  it('of a manifest is no licence to mix recipes: the data file tells of what recipe the part was', async () => {
    const copy = join(root, 'copy');
    cpSync(out, copy, { recursive: true });
    const [path = ''] = filesBelow(packedFolder(copy)).filter((file) => file.endsWith('.manifest.json'));
    for (const other of filesBelow(packedFolder(copy)))
      if (other !== path && other.endsWith('.manifest.json')) rmSync(other);
    truncateSync(path, 10);
    const before = digestFolder(copy);
    const settings = {
      ...shared,
      sequence: { length: 64 },
      shards: [shards],
      tokenizer: { path: inputs.reference },
      out: copy,
    };
    const packing = packCorpus(
      parseSettings(packSchema, settings, 'test'),
      options(() => undefined),
    );
    await expect(packing).rejects.toMatchObject({
      code: 'stale-parts',
      message: expect.stringContaining('sequence.length: 128 → 64'),
    });
    expect(digestFolder(copy)).toEqual(before);
  });

  it('of a manifest, any one bit of it, never reads as another manifest', () => {
    const [path = ''] = filesBelow(scored).filter((file) => file.endsWith('.manifest.json'));
    const bytes = readFileSync(path);
    expect(parseManifest(bytes.toString('utf8'), path).kind).toBe('scored');
    let refused = 0;
    for (let at = 0; at < bytes.length; at += 3) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      expect(() => parseManifest(flipped.toString('utf8'), path), `byte ${at}`).toThrow(path);
      refused++;
    }
    expect(refused).toBe(Math.ceil(bytes.length / 3));
  });

  it('by the command line: verify tells and withdraws, the same score command repairs', async () => {
    const [path = ''] = filesBelow(scored).filter((file) => /\/\d{5}\.arrow$/.test(file));
    flip(path, 0.5);
    const found = await runCli(['verify', out, '--repair']);
    expect(found.stdout).toMatch(new RegExp(`^${path}: has sha256 `));
    expect(found.stderr).toContain('withdrew 1 damaged part(s)');
    expect(found.code).toBe(1);
    const { made } = await again(scored);
    expect(made).toHaveLength(1);
    expect(digestFolder(out)).toEqual(clean);
  });
});
