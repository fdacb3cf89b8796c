import { firstLine, TokensieveError } from '../errors.js';
import { joinPath, normalPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { fileDigest } from './file-digest.js';
import { MANIFEST_SUFFIX, type Manifest, type ManifestOutput, readManifest } from './manifest.js';
import { partFiles } from './part-files.js';
import { RUN_NOTES_FILE, readRunNotes } from './run-notes.js';
import { checkDocuments, checkSequences, type DocumentSizes } from './verify-files.js';

/** One thing that is wrong, or worth knowing, about one file. */
export interface Finding {
  readonly file: string;
  /** One line. */
  readonly reason: string;
}

export interface VerifyReport {
  readonly manifests: number;
  /** Output files read, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** Sequences and tokens of the parts, as counted in their files. */
  readonly sequences: number;
  readonly tokens: number;
  /** What is wrong; empty when the folder is sound. */
  readonly findings: readonly Finding[];
  /** Manifests of the parts that findings are about, each in its own part's place: what `withdrawParts` takes. */
  readonly damaged: readonly string[];
}

export interface VerifyOptions {
  /** Called after each manifest, with how many are done of how many. */
  readonly onProgress?: (progress: {
    readonly file: string;
    readonly done: number;
    readonly of: number;
  }) => void;
}

/**
 * Checks every part below `folder` against its manifest: outputs exist with their bytes and sha256; Arrow files
 * have the schema, rows, tokens and histograms that the manifest says; values, segments and documents obey the
 * rules of `docs/`; no data file lacks a manifest and no part stands twice. Reads everything, keeps one record
 * batch and the row numbers of one part's documents in memory. Problems are findings; it throws only where the
 * store itself fails.
 */
export async function verifyFolder(
  storage: Storage,
  folder: string,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const paths = await storage.list(folder);
  const manifestPaths = paths.filter((path) => path.endsWith(MANIFEST_SUFFIX));
  const findings: Finding[] = [];
  const owners = new Map<string, string>();
  const parts = new Map<string, string>();
  const totals = { files: 0, bytes: 0, sequences: 0, tokens: 0 };
  const damaged: string[] = [];

  for (const [done, path] of manifestPaths.entries()) {
    const add = (file: string, reason: string) => void findings.push({ file, reason });
    try {
      const manifest = await readManifest(storage, path);
      const base = path.slice(0, path.lastIndexOf('/') + 1);
      const key = partKey(base, manifest);
      const twin = parts.get(key);
      if (twin !== undefined) add(path, `is part ${manifest.part} of ${manifest.shard}, and so is ${twin}`);
      parts.set(key, path);
      for (const output of manifest.outputs) {
        const owner = owners.get(base + output.name);
        if (owner !== undefined) add(base + output.name, `is an output of ${owner} and of ${path}`);
        owners.set(base + output.name, path);
      }
      const before = findings.length;
      const counted = await verifyPart(storage, base, manifest, add);
      if (findings.length > before && isOwnPlace(path, manifest)) damaged.push(path);
      totals.files += counted.files;
      totals.bytes += counted.bytes;
      totals.sequences += counted.sequences;
      totals.tokens += counted.tokens;
    } catch (error) {
      add(path, withoutPath(firstLine(error), path));
      if (PLACE.test(path) && error instanceof TokensieveError && error.code === 'bad-manifest') {
        damaged.push(path);
      }
    }
    options.onProgress?.({ file: path, done: done + 1, of: manifestPaths.length });
  }
  const notesPath = joinPath(folder, RUN_NOTES_FILE);
  for (const path of paths.filter((one) => normalPath(one) === normalPath(notesPath))) {
    // Names inputs for reports; no part hangs on it, but reports quote the files that it names.
    const why = await readRunNotes(storage, folder).then(
      (notes) => (notes === null ? 'is no notes of a run; remove it: reports then say less' : null),
      (error: unknown) => withoutPath(firstLine(error), path),
    );
    if (why !== null) findings.push({ file: path, reason: why });
  }
  const told = new Set(damaged);
  for (const path of paths) {
    const isOutput = path.endsWith('.arrow') || QUARANTINE.test(path);
    // The files of a part whose manifest cannot be read are told with it.
    if (!isOutput || owners.has(path) || told.has(path.replace(OUTPUT, MANIFEST_SUFFIX))) continue;
    findings.push({
      file: path,
      reason: 'belongs to no manifest; a run that was stopped left it: run it again, or remove it',
    });
  }
  return { manifests: manifestPaths.length, ...totals, findings, damaged };
}

/** What follows the part's number in the names of its files. */
const OUTPUT = /(?<=\/\d{5,15})(\.arrow|\.documents\.arrow|\.quarantine\.jsonl)$/;
const QUARANTINE = /\/\d{5,15}\.quarantine\.jsonl$/;
const PLACE = /\/\d{5,15}\.manifest\.json$/;

const isOwnPlace = (path: string, { shard, part }: Manifest): boolean =>
  path.endsWith(partFiles('/', shard, part).manifest);

/** A data set's folder, shard and part; a manifest stands in its shard's folder below the data set's. */
function partKey(base: string, { kind, shard, part }: Manifest): string {
  const root = base.endsWith(`/${shard}/`) ? base.slice(0, -shard.length - 1) : base;
  return JSON.stringify([root, kind, shard, part]);
}

type Add = (file: string, reason: string) => void;

async function verifyPart(storage: Storage, base: string, manifest: Manifest, add: Add) {
  const totals = { files: 0, bytes: 0, sequences: 0, tokens: 0 };
  let documents: DocumentSizes | undefined;
  // Documents first: segments are checked against them.
  const order = ['documents', 'sequences', 'quarantine'];
  for (const output of manifest.outputs.toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))) {
    const path = base + output.name;
    const wrong = (reason: string) => add(path, reason);
    try {
      const size = await verifyBytes(storage, path, output, wrong);
      if (size === undefined) continue;
      totals.files++;
      totals.bytes += size;
      if (output.kind === 'documents') {
        documents = await checkDocuments(storage, path, manifest, output.rows, wrong);
      } else if (output.kind === 'sequences') {
        const counted = await checkSequences(
          storage,
          { path, manifest, rows: output.rows },
          documents,
          wrong,
        );
        totals.sequences += counted.sequences;
        totals.tokens += counted.tokens;
      }
    } catch (error) {
      wrong(withoutPath(firstLine(error), path));
    }
  }
  if (!manifest.outputs.some((output) => output.kind === 'sequences')) {
    add(base, `part ${manifest.part} of ${manifest.shard} has no sequence file among its outputs`);
  }
  return totals;
}

/** The file's size; undefined, after a finding, where its bytes are not those of the manifest. */
async function verifyBytes(
  storage: Storage,
  path: string,
  output: ManifestOutput,
  wrong: (reason: string) => void,
): Promise<number | undefined> {
  const { size } = await storage.stat(path);
  if (size !== output.bytes) {
    wrong(`has ${size} bytes; its manifest says ${output.bytes}`);
    return undefined;
  }
  const sha256 = await fileDigest(storage, path, size);
  if (sha256 === output.sha256) return size;
  wrong(`has sha256 ${sha256}; its manifest says ${output.sha256}`);
  return undefined;
}

/** Messages of errors begin with the path, and so do findings. */
const withoutPath = (message: string, path: string): string =>
  message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;
