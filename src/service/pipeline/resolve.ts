import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize, relative, resolve, sep } from 'node:path';
import picomatch from 'picomatch';
import type { Settings } from '../../config/load.js';
import { expandShards } from '../../corpus/expand.js';
import { packedFolder, scoredFolder, weightedFolder } from '../../dataset/part-files.js';
import { readRunNotes } from '../../dataset/run-notes.js';
import { locatedError, TokensieveError, usageError } from '../../errors.js';
import { programsOf } from '../../pipeline/programs-of.js';
import { parsePipeline } from '../../pipeline/settings.js';
import { isStaged, parseStages, type Stage } from '../../pipeline/stages.js';
import { localStorage } from '../../storage/local.js';
import type { RememberedSettings } from '../../texts/remembered.js';
import { RESERVED_NAMES } from '../jobs/job-files.js';
import type { PartsFolder } from '../jobs/record.js';
import { mapRunPaths, mapStagePaths, outputsOf, type PathMapper, runOutputs } from './path-fields.js';
import { isInside, isSuspect, isWithin, type Looks, linkOutside, MAX_ENTRIES } from './roots.js';

/** What `tokensieve audit` is called with. */
export interface AuditCall {
  readonly run: string;
  readonly shards: readonly string[];
  readonly tokenizer: string | null;
}

/** A pipeline that may be run: every path absolute and inside the roots, every default filled in. */
export interface ResolvedPipeline {
  /** For a pipeline file. */
  readonly settings: Settings;
  readonly stages: readonly string[];
  readonly parts: readonly PartsFolder[];
  /** Pages that report and audit stages write. */
  readonly reports: readonly string[];
  /** Null where no weighted files are made. */
  readonly audit: AuditCall | null;
}

export interface Places {
  /** Real paths; inputs are inside one of them, and outputs too, or in the job's folder. */
  readonly roots: readonly string[];
  /** Folder of all jobs, where outputs go into the job's own folder only. */
  readonly jobs: string;
  /** The job's own folder. */
  readonly job: string;
}

/** Stages of a pipeline; each of its inputs is looked at. */
const MAX_STAGES = 200;

/** What has been looked at for one pipeline: a folder that many stages name is walked once. */
interface Looked {
  readonly left: Looks;
  once<T>(key: string, look: () => Promise<T>): Promise<T>;
}

function createLooked(): Looked {
  const found = new Map<string, Promise<unknown>>();
  return {
    left: { entries: MAX_ENTRIES },
    once: <T>(key: string, look: () => Promise<T>): Promise<T> => {
      const known = found.get(key) as Promise<T> | undefined;
      if (known !== undefined) return known;
      const looking = look();
      found.set(key, looking);
      return looking;
    },
  };
}

const tooManyFiles = (field: string): Error =>
  usageError('too-many-files', `${field}: more than ${MAX_ENTRIES} files; name fewer`);

/** What errors call the pipeline of a request. */
const SOURCE = 'pipeline';

/**
 * Judges a pipeline of a request and makes its paths absolute. Inputs that are relative are looked for in the roots, in
 * order; outputs go below the job's folder; `out` of a single run may be left out.
 * @throws TokensieveError (usage) `bad-settings`, `stage-names`; `code-in-request` for methods, sections and programs;
 *   `outside-roots`, `reserved-name`; `no-such-input`; `no-shards` and others of the shards
 */
export async function resolvePipeline(settings: Settings, places: Places): Promise<ResolvedPipeline> {
  if (!isStaged(settings)) {
    const pipeline = parsePipeline({ out: 'out', ...settings }, SOURCE);
    refuseMethodFile(pipeline.select?.method, 'select.method');
    refusePrograms('', pipeline);
    const outputs = runOutputs(pipeline);
    await checkOutputs(places, '', outputs);
    const mapped = await mapRunPaths(pipeline, pathMapper(places, '', outputs));
    const { out, select } = mapped;
    return {
      settings: withoutUndefined(mapped),
      stages: ['score', ...(select === undefined ? [] : ['select'])],
      parts: [
        { kind: 'scored', folder: scoredFolder(out) },
        ...(select === undefined ? [] : [{ kind: 'weighted', folder: weightedFolder(out) } as const]),
      ],
      reports: [],
      audit: select === undefined ? null : auditCall(out, mapped),
    };
  }
  const { stages, assume } = parseStages(settings, SOURCE);
  if (stages.length > MAX_STAGES) {
    throw usageError(
      'too-many-stages',
      `pipeline: has ${stages.length} stages, the service takes ${MAX_STAGES}; submit it in parts`,
    );
  }
  const looked = createLooked();
  const outputs = stages.flatMap(outputsOf);
  for (const stage of stages) await checkOutputs(places, `${stage.name}.`, outputsOf(stage));
  const mapped: Stage[] = [];
  for (const stage of stages) {
    const makers = mapped.flatMap(makerOf);
    if (stage.kind === 'score' || stage.kind === 'eval') refusePrograms(`${stage.name}.`, stage.settings);
    if (stage.kind === 'select') refuseMethodFile(stage.settings.method, `${stage.name}.method`);
    if (stage.kind === 'report' && stage.settings.sections.length > 0) {
      throw usageError(
        'code-in-request',
        `${stage.name}.sections: modules are code, and a request may bring none; leave sections out`,
      );
    }
    mapped.push(await mapStagePaths(stage, pathMapper(places, `${stage.name}.`, outputs, makers, looked)));
  }
  return {
    settings: withoutUndefined({
      assume,
      stages: mapped.map(({ name, kind, settings: own }) => ({ name, [kind]: own })),
    }),
    stages: mapped.map(({ name }) => name),
    parts: mapped.flatMap(partsOf),
    reports: mapped.flatMap(reportsOf),
    audit: auditOfStages(mapped),
  };
}

/** A run that a stage of the pipeline makes, and the places that it will remember. */
interface Maker {
  readonly out: string;
  readonly remembered: NonNullable<RememberedSettings>;
}

function makerOf(stage: Stage): Maker[] {
  if (stage.kind !== 'score' && stage.kind !== 'pack') return [];
  const { out, shards, tokenizer } = stage.settings;
  const models = stage.kind === 'score' ? [stage.settings.reference, stage.settings.current] : [];
  const found = [tokenizer.path, ...models].find((path) => path !== undefined) ?? null;
  return [{ out, remembered: { shards: [...shards], tokenizer: found } }];
}

function reportsOf(stage: Stage): string[] {
  if (stage.kind === 'report') return [stage.settings.out];
  if (stage.kind !== 'audit') return [];
  return [join(stage.settings.out ?? join(stage.settings.run, 'audit'), 'report.html')];
}

function partsOf(stage: Stage): PartsFolder[] {
  switch (stage.kind) {
    case 'score':
      return [{ kind: 'scored', folder: scoredFolder(stage.settings.out) }];
    case 'pack':
      return [{ kind: 'packed', folder: packedFolder(stage.settings.out) }];
    case 'select':
      return [{ kind: 'weighted', folder: stage.settings.out ?? weightedFolder(stage.settings.run) }];
    default:
      return [];
  }
}

type Scoring = {
  readonly shards: readonly string[];
  readonly tokenizer: { readonly path?: string | undefined };
};

const auditCall = (run: string, { shards, tokenizer }: Scoring): AuditCall => ({
  run,
  shards,
  tokenizer: tokenizer.path ?? null,
});

/** The last selection of a run that this pipeline scores itself, unless it has an audit of its own. */
function auditOfStages(stages: readonly Stage[]): AuditCall | null {
  if (stages.some(({ kind }) => kind === 'audit')) return null;
  const select = stages.findLast((stage) => stage.kind === 'select');
  if (select === undefined) return null;
  const score = stages.find((stage) => stage.kind === 'score' && stage.settings.out === select.settings.run);
  if (score?.kind !== 'score') return null;
  return auditCall(select.settings.out ?? select.settings.run, score.settings);
}

function refuseMethodFile(method: string | undefined, field: string): void {
  if (method === undefined || /^[a-z0-9-]+$/.test(method)) return;
  throw usageError(
    'code-in-request',
    `${field}: ${method}: a method of your own is code, and a request may bring none; name one that is built in`,
  );
}

function refusePrograms(prefix: string, settings: Parameters<typeof programsOf>[0]): void {
  const [first] = programsOf(settings);
  if (first === undefined) return;
  throw usageError(
    'code-in-request',
    `${prefix}${first.field}: ${first.program}: is a program, and a request may have none started; leave it out (tokensieve run takes it)`,
  );
}

/** Outputs come first: what lies in one of them counts as made by the pipeline. */
async function checkOutputs(places: Places, prefix: string, outputs: readonly string[]): Promise<void> {
  const { outputFolder } = pathMapper(places, prefix, []);
  for (const path of outputs) await outputFolder(path, 'out');
}

/**
 * @param prefix of fields in errors · @param outputs what the pipeline's stages write to, as given
 * @param makers stages before this one that make runs
 */
function pathMapper(
  { roots, jobs, job }: Places,
  prefix: string,
  outputs: readonly string[],
  makers: readonly Maker[] = [],
  looked: Looked = createLooked(),
): PathMapper {
  const allowed = [...roots, job];
  const made = outputs.map((path) => resolve(job, path));
  const outside = (field: string, path: string): Error =>
    usageError(
      'outside-roots',
      `${prefix}${field}: ${path}: is not inside a folder that this service serves; name a path below one of its roots`,
    );

  const remote = (field: string, path: string, does: string): Error =>
    usageError(
      'outside-roots',
      `${prefix}${field}: ${path}: the service ${does} its roots only; name a path below one of them (tokensieve run takes URLs)`,
    );

  /** An absolute path: what a stage makes, else the first that is there below a root. */
  const locate = async (path: string, field: string, exists: (path: string) => Promise<boolean>) => {
    if (looksRemote(path)) throw remote(field, path, 'reads');
    if (isSuspect(path)) throw outside(field, path);
    const own = resolve(job, path);
    if (made.some((output) => isWithin(output, own))) return { path: own, isMade: true };
    if (isAbsolute(path)) return { path: normalize(path), isMade: false };
    for (const root of roots) {
      const candidate = join(root, path);
      if (await exists(candidate)) return { path: candidate, isMade: false };
    }
    throw usageError(
      'no-such-input',
      `${prefix}${field}: ${path}: no such file or folder below the service's roots; check the path`,
    );
  };

  const input: PathMapper['input'] = async (path, field) => {
    const found = await locate(path, field, isThere);
    if (!(await isInside(allowed, found.path))) throw outside(field, path);
    if (!found.isMade && !(await isThere(found.path))) {
      throw usageError('no-such-input', `${prefix}${field}: ${path}: no such file or folder; check the path`);
    }
    const link = await looked.once(`link ${found.path}`, () => linkOutside(allowed, found.path, looked.left));
    if (link !== null) throw outside(field, link);
    return found.path;
  };

  const output = async (path: string, field: string): Promise<string> => {
    if (looksRemote(path)) throw remote(field, path, 'writes to');
    const absolute = resolve(job, path);
    if (isSuspect(path) || !(await isInside(allowed, absolute))) throw outside(field, path);
    if (isWithin(job, absolute)) {
      const [first = ''] = relative(job, absolute).split(sep);
      if (first === '' || first.startsWith('.') || RESERVED_NAMES.has(first)) {
        throw usageError(
          'reserved-name',
          `${prefix}${field}: ${path}: the service keeps its own files there; choose another name, such as out`,
        );
      }
    } else if (isWithin(jobs, absolute) || isWithin(absolute, jobs)) {
      throw usageError(
        'outside-roots',
        `${prefix}${field}: ${path}: belongs to other jobs; choose another folder`,
      );
    }
    return absolute;
  };

  const shards: PathMapper['shards'] = async (patterns, field) => {
    const absolute: string[] = [];
    for (const pattern of patterns) {
      const { path } = await locate(pattern, field, (candidate) => isThere(fixedPart(candidate)));
      if (!(await isInside(allowed, fixedPart(path)))) throw outside(field, pattern);
      absolute.push(path);
    }
    const strange = await looked.once(`shards ${JSON.stringify(absolute)}`, async () => {
      for (const shard of await expand(absolute, `${prefix}${field}`)) {
        if (--looked.left.entries < 0) throw tooManyFiles(`${prefix}${field}`);
        if (!(await isInside(allowed, shard))) return shard;
      }
      return null;
    });
    if (strange !== null) throw outside(field, strange);
    return absolute;
  };

  return {
    input,
    shards,
    async remembered(run) {
      const maker = makers.find(({ out }) => isWithin(out, run));
      if (maker !== undefined) return maker.remembered;
      const storage = localStorage();
      const notes = (await readRunNotes(storage, run)) ?? (await readRunNotes(storage, dirname(run)));
      // What a folder says is no request: what it may not name is as if it were not there.
      const judged = async <T>(judging: Promise<T>, nothing: T): Promise<T> =>
        judging.catch((error: unknown) => {
          if (error instanceof TokensieveError) return nothing;
          throw error;
        });
      const tokenizer = notes?.tokenizer ?? null;
      return {
        shards: notes === null ? [] : await judged(shards(notes.shards, 'run'), []),
        tokenizer: tokenizer === null ? null : await judged<string | null>(input(tokenizer, 'run'), null),
      };
    },
    outputFolder: output,
    async outputFile(path, field) {
      const absolute = await output(path, field);
      // Over an existing file of a root a report would go without a word.
      if (isWithin(job, absolute)) return absolute;
      throw usageError(
        'outside-roots',
        `${prefix}${field}: ${path}: single files are written into the job's folder only; give a relative path`,
      );
    },
  };
}

/** A URL, and what is one but for its slashes: a folder named `s3:` is nothing that anybody wants. */
const looksRemote = (path: string): boolean => /^[a-z][a-z0-9+.-]+:/i.test(path);

/** The paths of all shards that patterns name. */
async function expand(patterns: readonly string[], field: string): Promise<string[]> {
  try {
    return (await expandShards(localStorage(), patterns)).map(({ path }) => path);
  } catch (error) {
    throw locatedError(field, error);
  }
}

/** The folder before a pattern's first wildcard; all of a path without one. */
function fixedPart(pattern: string): string {
  const { base, isGlob } = picomatch.scan(pattern);
  return isGlob ? base || '/' : pattern;
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** JSON has no undefined, and the file is JSON. */
const withoutUndefined = (settings: object): Settings => JSON.parse(JSON.stringify(settings)) as Settings;
