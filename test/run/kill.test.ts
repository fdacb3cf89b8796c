import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { digestFolder, filesBelow, type Outcome, startCli } from '../support/cli.js';
import {
  manySmallParts,
  type QuickstartInputs,
  quickstartInputs,
  temporaryFolder,
} from '../support/quickstart.js';

/** Kills a worker count must survive before its run counts as tested; 30 have been run (docs/reliability.md has more). */
const KILLS_EACH = Number(process.env['KILLS_EACH'] ?? 12);
/** Of all kills, those that must land between the data's commit and the manifest's. */
const BETWEEN_COMMITS = 5;

type Landing = 'before any part' | 'in work' | 'between data and manifest' | 'after a part';

describe('SIGKILL at any moment', () => {
  const folder = temporaryFolder();
  const landings = new Map<Landing, number>();

  it(`${2 * KILLS_EACH} kills over runs of 1 and 2 workers leave the bytes of an uninterrupted run`, {
    timeout: 900_000,
  }, async () => {
    const shards = await manySmallParts(join(folder, 'corpus'));
    const inputs = { ...(await quickstartInputs(join(folder, 'inputs'))), shards };
    const started = Date.now();
    const clean = await startCli(scoreArgs(inputs, join(folder, 'clean'), 1)).outcome;
    const runMs = Date.now() - started;
    expect(clean.stderr + clean.stdout).toContain('scored');
    // The jsonl shard has rows without text, which are set aside: exit code 3.
    expect(clean.code).toBe(3);
    const expected = digestFolder(join(folder, 'clean'));
    expect(Object.keys(expected).length).toBeGreaterThan(20);

    const random = seededRandom(20261123);
    for (const workers of [1, 2]) {
      let kills = 0;
      while (kills < KILLS_EACH) {
        const out = join(folder, `killed-${workers}`);
        rmSync(out, { recursive: true, force: true });
        kills += await killUntilDone(scoreArgs(inputs, out, workers), out, runMs, random);
        expect(digestFolder(out)).toEqual(expected);
      }
    }
    console.log(`kills landed: ${JSON.stringify(Object.fromEntries(landings))}`);
    expect(landings.get('between data and manifest') ?? 0).toBeGreaterThanOrEqual(BETWEEN_COMMITS);
  });

  /** Starts the same command again after every kill, until it ends by itself. Returns the kills. */
  async function killUntilDone(
    args: readonly string[],
    out: string,
    runMs: number,
    random: () => number,
  ): Promise<number> {
    for (let kills = 0; ; kills++) {
      const before = new Set(orphansIn(out));
      // Every third kill waits for a data commit, whose window is too short to be hit by the clock; the others
      // come at a random time, from before the first part to beyond the end.
      const outcome =
        kills % 3 === 2 ? await killAtCommit(args, random) : await killAfter(args, random() * runMs);
      if (outcome.signal === null) {
        expect(outcome.code, outcome.stderr).toBe(3);
        return kills;
      }
      const landing = whereItLanded(out, before);
      landings.set(landing, (landings.get(landing) ?? 0) + 1);
    }
  }
});

function scoreArgs(inputs: QuickstartInputs, out: string, workers: number): string[] {
  return [
    ...['score', '--shards', inputs.shards, '--reference', inputs.reference, '--current', inputs.current],
    ...['--out', out, '--sequence-length', '256', '--part-bytes', '8192', '--device', 'cpu', '--log', 'json'],
    ...[
      '--keep-columns',
      'url',
      '--workers',
      String(workers),
      '--threads',
      '1',
      '--cache',
      join(inputs.folder, 'cache'),
    ],
  ];
}

async function killAfter(args: readonly string[], ms: number): Promise<Outcome> {
  const { child, outcome } = startCli(args);
  const killer = wait(ms).then(() => child.kill('SIGKILL'));
  const result = await outcome;
  await killer;
  return result;
}

/** Kills as soon as the log says that a part's data is committed; which part is drawn at random. */
async function killAtCommit(args: readonly string[], random: () => number): Promise<Outcome> {
  let left = 1 + Math.floor(random() * 4);
  const running = startCli(args, {
    onLine: (line) => {
      if (line.includes('"data-committed"') && --left === 0) running.child.kill('SIGKILL');
    },
  });
  return running.outcome;
}

const sequenceFiles = (out: string): string[] =>
  filesBelow(join(out, 'scored')).filter((path) => /\/\d{5}\.arrow$/.test(path));

/** Sequence files without their manifest. */
const orphansIn = (out: string): string[] =>
  sequenceFiles(out).filter((path) => !existsSync(path.replace(/\.arrow$/, '.manifest.json')));

/** @param before orphans of earlier kills: they stay until their part is done, and are not this kill's */
function whereItLanded(out: string, before: ReadonlySet<string>): Landing {
  const files = filesBelow(join(out, 'scored'));
  const sequences = sequenceFiles(out);
  if (orphansIn(out).some((path) => !before.has(path))) return 'between data and manifest';
  if (files.some((path) => path.includes('.staging'))) return 'in work';
  return sequences.length === 0 ? 'before any part' : 'after a part';
}

function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
