import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isScalar, parseDocument, visit } from 'yaml';
import { schemaLine } from '../config/schema-line.js';
import { fatalError, firstLine, usageError } from '../errors.js';
import { parseJson } from '../json/parse-json.js';

/** The package's own folder, which holds the generator and the pipeline. */
const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));

/** What the generator gives: `fixtures/quickstart/make.mjs`. */
interface Generator {
  generatorDigest(): string;
  makeLoop(out: string): Promise<unknown>;
}

/** The folder of the quickstart, ready to be run. */
export interface Quickstart {
  /** The pipeline file in it. */
  readonly pipeline: string;
  /** Whether corpus and tokenizer were made now; false where they lay there. */
  readonly made: boolean;
}

/**
 * A folder with the quickstart's corpus, tokenizer and pipeline file: made where it is not there, taken as it is where this
 * version made it.
 * @param replace make corpus and tokenizer anew where another version made them
 * @throws TokensieveError (usage) `not-a-quickstart`: the folder holds other things; `other-quickstart`: another version's
 */
export async function openQuickstart(out: string, replace: boolean): Promise<Quickstart> {
  const url = pathToFileURL(join(PACKAGE, 'fixtures/quickstart/make.mjs')).href;
  const generator = (await import(url)) as Generator;
  const pipeline = join(out, PIPELINE);
  const record = await readRecord(join(out, RECORD));
  const made = record?.generator !== generator.generatorDigest();
  if (made) {
    await refuseOthers(out, record, replace);
    await mkdir(out, { recursive: true });
    // First the pipeline file, by which a folder whose making was stopped is known; the record comes last.
    await rm(join(out, RECORD), { force: true });
    await writeFile(pipeline, await pipelineText(out));
    await generator.makeLoop(out);
  } else await writeFile(pipeline, await pipelineText(out));
  return { pipeline, made };
}

const PIPELINE = 'quickstart.yaml';
const RECORD = 'inputs.json';

interface InputsRecord {
  readonly generator?: string;
}

/** Undefined where there is none, or none that was written to its end. */
async function readRecord(path: string): Promise<InputsRecord | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return (parseJson(text) ?? {}) as InputsRecord;
  } catch {
    return {};
  }
}

async function refuseOthers(out: string, record: InputsRecord | undefined, replace: boolean): Promise<void> {
  const names = await readdir(out).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return [];
    throw fatalError('unwritable', `${out}: ${firstLine(error)}`, { cause: error });
  });
  if (record !== undefined && !replace) {
    throw usageError(
      'other-quickstart',
      `${out}: its corpus is of another version of tokensieve: add --replace to make it, and what was made from it, anew, or name another folder with --out`,
    );
  }
  if (record === undefined && names.length > 0 && !names.includes(PIPELINE)) {
    throw usageError(
      'not-a-quickstart',
      `${out}: is not empty and no folder of the quickstart: name another with --out`,
    );
  }
}

/** The package's pipeline, its paths those of `out` and of the package. */
async function pipelineText(out: string): Promise<string> {
  const document = parseDocument(await readFile(join(PACKAGE, 'pipelines', PIPELINE), 'utf8'));
  visit(document, {
    Scalar: (_, scalar) => {
      if (isScalar(scalar) && typeof scalar.value === 'string') scalar.value = movedPath(scalar.value, out);
    },
  });
  const text = document.toString({ lineWidth: 0 });
  return text.replace(/^# yaml-language-server: .*/, schemaLine(join(out, PIPELINE)));
}

/** Where a path of the shipped pipeline lies for a run into `out`. */
function movedPath(path: string, out: string): string {
  if (path.startsWith(RUNS)) return `${out.replace(/\/+$/, '')}/${path.slice(RUNS.length)}`;
  return path.startsWith('fixtures/') ? fromHere(join(PACKAGE, path)) : path;
}

const RUNS = 'runs/quickstart/';

/** As a person would write it: relative to where the command is started, unless it lies elsewhere. */
function fromHere(path: string): string {
  const short = relative(resolve('.'), path);
  return short.startsWith('..') || isAbsolute(short) ? path : short;
}
