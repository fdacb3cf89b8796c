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
/** Of all kills, those that must land between the data's commit and the manifest's, and with a part in work. */
const BETWEEN_COMMITS = 5;
const IN_WORK = 3;

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
    let startMs = 0;
    let parts = 0;
    const undisturbed = startCli(scoreArgs(inputs, join(folder, 'clean'), 1), {
      onLine: (line) => {
        if (line.includes('"planned"')) startMs = Date.now() - started;
        if (line.includes('"part-started"')) parts++;
      },
    });
    const clean = await undisturbed.outcome;
    const partMs = (Date.now() - started - startMs) / parts;
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
        const args = scoreArgs(inputs, out, workers);
        kills += await killUntilDone(args, out, KILLS_EACH - kills, { startMs, partMs, random });
        expect(digestFolder(out)).toEqual(expected);
      }
    }
    console.log(`kills landed: ${JSON.stringify(Object.fromEntries(landings))}`);
    expect(landings.get('between data and manifest') ?? 0).toBeGreaterThanOrEqual(BETWEEN_COMMITS);
    expect(landings.get('in work') ?? 0).toBeGreaterThanOrEqual(IN_WORK);
  });

  /**
   * Starts the same command again after every kill, until it ends by itself; after so many kills it is let through.
   * Returns the kills.
   */
  async function killUntilDone(
    args: readonly string[],
    out: string,
    most: number,
    { startMs, partMs, random }: { startMs: number; partMs: number; random: () => number },
  ): Promise<number> {
    for (let kills = 0; ; kills++) {
      const before = new Set(orphansIn(out));
      const outcome = await (kills === most
        ? startCli(args).outcome
        : kills % 4 === 0
          ? killAt(args, null, 0, random() * startMs)
          : kills % 4 === 1
            ? killAt(args, 'part-started', drawn(random), random() * partMs)
            : kills % 4 === 2
              ? killAt(args, 'data-committed', drawn(random), 0)
              : killAt(args, 'part-done', drawn(random), (random() * partMs) / 2));
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

/** Which event of a kind: the first or the second. */
const drawn = (random: () => number): number => 1 + Math.floor(random() * 2);

/** Kills so long after an event of the log, or after the process's start. */
async function killAt(
  args: readonly string[],
  event: string | null,
  nth: number,
  ms: number,
): Promise<Outcome> {
  let left = nth;
  const kill = (): boolean => running.child.kill('SIGKILL');
  // A window as short as the one between two commits is missed by any timer.
  const killing = (): void => void (ms === 0 ? kill() : wait(ms).then(kill));
  const running = startCli(args, {
    onLine: (line) => {
      if (event !== null && line.includes(`"${event}"`) && --left === 0) killing();
    },
  });
  if (event === null) killing();
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
