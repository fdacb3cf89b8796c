/**
 * Code that a queued pipeline names: methods and sections from files. Whoever can write to the Redis can queue a pipeline, so
 * a worker loads code only from folders that the person who started it named.
 */
import { realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { usageError } from '../errors.js';
import { programsOf } from '../pipeline/programs-of.js';
import type { Stage } from '../pipeline/stages.js';
import { isMethodFile } from '../select/load.js';

/** What the person who started a worker lets queued pipelines run. */
export interface AllowedCode {
  /** That methods and sections may be loaded from. */
  readonly folders: readonly string[];
  /** By the names that pipelines give them; with the worker's own Python. */
  readonly engines: readonly string[];
}

/** @throws TokensieveError (usage) `code-in-queue` for a stage that names other code, or a program that was not allowed */
export async function refuseOtherCode(stage: Stage, { folders, engines }: AllowedCode): Promise<void> {
  if (stage.kind === 'score' || stage.kind === 'eval') refusePrograms(stage.name, stage.settings, engines);
  for (const [field, file] of codeOf(stage)) {
    if (await isBelow(folders, file)) continue;
    const why =
      folders.length === 0
        ? 'and this worker was started without any'
        : `and it is not below ${folders.join(', ')}`;
    throw usageError(
      'code-in-queue',
      `${stage.name}.${field}: ${file}: is code, which a worker runs from folders that it was started with alone (--allow-methods FOLDER), ${why}`,
    );
  }
}

function refusePrograms(
  name: string,
  settings: Parameters<typeof programsOf>[0],
  engines: readonly string[],
): void {
  for (const { field, program, kind } of programsOf(settings)) {
    if (kind === 'engine' && engines.includes(program)) continue;
    throw usageError(
      'code-in-queue',
      kind === 'engine'
        ? `${name}.${field}: ${program}: is a program, which a worker starts only where it was allowed by name (--allow-engines ${program})`
        : `${name}.${field}: ${program}: is a program; a worker starts its own Python alone (TOKENSIEVE_PYTHON): leave it out`,
    );
  }
}

function codeOf({ kind, settings }: Stage): (readonly [field: string, file: string])[] {
  if (kind === 'select') return isMethodFile(settings.method) ? [['method', settings.method]] : [];
  if (kind === 'report') return settings.sections.map(({ module }) => ['sections', module]);
  return [];
}

async function isBelow(folders: readonly string[], file: string): Promise<boolean> {
  const place = await realpath(file).catch(() => resolve(file));
  for (const folder of folders) {
    const below = relative(await realpath(folder).catch(() => resolve(folder)), place);
    if (below !== '' && below !== '..' && !below.startsWith(`..${sep}`) && !isAbsolute(below)) return true;
  }
  return false;
}
