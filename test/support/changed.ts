/**
 * Inputs exchanged for others while a run goes on, in place and by rename: before the session, within a part, between two parts
 * and before a resume. What is left must be of one input alone.
 */
import { closeSync, ftruncateSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { RunEvent } from '#tokensieve/parts/events.js';
import { digestFolder } from './cli.js';

export const WAYS = ['in place', 'by rename'] as const;
export const TIMES = ['before the session', 'within a part', 'between two parts', 'before a resume'] as const;
export type Way = (typeof WAYS)[number];
export type Time = (typeof TIMES)[number];

/** Puts other bytes where a file is: in its pages, or as another file under its name. */
export function change(path: string, bytes: Uint8Array, way: Way): void {
  if (way === 'by rename') {
    writeFileSync(`${path}.next`, bytes);
    renameSync(`${path}.next`, path);
    return;
  }
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, 0);
  ftruncateSync(file, bytes.length);
  closeSync(file);
}

export interface RunOptions {
  readonly sink: (event: RunEvent) => void;
  readonly signal: AbortSignal;
}

/** One kind of input, as it is and as it becomes. */
export interface ChangingInput {
  /** The file that changes, in the folder of one run. */
  readonly file: string;
  readonly before: () => Buffer;
  readonly after: () => Buffer;
  readonly run: (folder: string, options: RunOptions) => Promise<unknown>;
  /** Folder of the parts that it makes, in the folder of the run. */
  readonly parts: string;
  /** What an error names before a resume, where that is not the file. */
  readonly resumed?: string;
}

export const nobody = (): AbortSignal => new AbortController().signal;

/** Runs with a change at its time, as often as it takes to come to an end or to be refused. */
export async function changed(
  kind: ChangingInput,
  folder: string,
  time: Time,
  act: () => void,
): Promise<unknown> {
  const stop = new AbortController();
  let done = 0;
  let acted = false;
  const once = (): void => {
    if (!acted) act();
    acted = true;
  };
  const sink = (event: RunEvent): void => {
    if (event.event === 'planned' && time === 'before the session') once();
    if (event.event === 'part-done') done++;
    if (event.event === 'part-done' && done === 2 && time === 'between two parts') once();
    if (event.event === 'progress' && done === 2 && time === 'within a part') once();
    if (event.event === 'part-done' && done === 2 && time === 'before a resume') stop.abort();
  };
  const first = await kind.run(folder, { sink, signal: stop.signal }).catch((error: unknown) => error);
  if (time !== 'before a resume') return first;
  once();
  return kind.run(folder, { sink: () => undefined, signal: nobody() }).catch((error: unknown) => error);
}

/** What a run of one input alone writes, made once. */
export function cleanRuns(prepare: (kind: ChangingInput, bytes: Buffer) => string) {
  const clean = new Map<string, Readonly<Record<string, string>>>();
  return async (
    name: string,
    kind: ChangingInput,
    which: 'before' | 'after',
  ): Promise<Readonly<Record<string, string>>> => {
    const key = `${name}\n${which}`;
    const known = clean.get(key);
    if (known !== undefined) return known;
    const folder = prepare(kind, kind[which]());
    await kind.run(folder, { sink: () => undefined, signal: nobody() });
    const made = digestFolder(join(folder, kind.parts));
    clean.set(key, made);
    return made;
  };
}

/** The eight tests of a kind of input. @param refused codes of the errors that a change may end with */
export function testChanges(
  name: string,
  kind: ChangingInput,
  refused: RegExp,
  prepare: (kind: ChangingInput, bytes: Buffer) => string,
  alone: ReturnType<typeof cleanRuns>,
): void {
  for (const way of WAYS) {
    for (const time of TIMES) {
      it(`${name}, ${way}, ${time}`, async () => {
        const [one, two] = [await alone(name, kind, 'before'), await alone(name, kind, 'after')];
        expect(one).not.toEqual(two);
        expect(Object.keys(one).length).toBeGreaterThan(3);
        const folder = prepare(kind, kind.before());
        const outcome = await changed(kind, folder, time, () =>
          change(join(folder, kind.file), kind.after(), way),
        );
        const made = Object.entries(digestFolder(join(folder, kind.parts)));
        const isOf = (whole: Readonly<Record<string, string>>): boolean =>
          made.every(([file, digest]) => whole[file] === digest);
        expect(isOf(one) || isOf(two), 'files of one input alone').toBe(true);
        const isWhole = made.length === Object.keys(one).length;
        if (outcome instanceof Error) {
          expect(outcome).toMatchObject({ code: expect.stringMatching(refused) });
          expect(outcome.message).toContain(
            time === 'before a resume' ? (kind.resumed ?? kind.file) : kind.file,
          );
        } else expect(isWhole).toBe(true);
      });
    }
  }
}
