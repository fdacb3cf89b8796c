import { expandShards } from '../corpus/expand.js';
import type { Shard } from '../corpus/shard.js';
import { TokensieveError } from '../errors.js';
import { joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { openTokenizer } from '../tokenizer/open.js';
import { type AuditedNumbers, type AuditOptions, auditRun } from './audit-run.js';
import { compareRuns, spellComparison } from './compare/compare-runs.js';
import { spellDynamics, tokenDynamics } from './compare/dynamics.js';
import { ngramOverlap } from './compare/overlap.js';
import { renderAudit } from './page/render.js';
import type { ReadingDocument } from './reading/reading-document.js';
import { MAX_DOCUMENT_TOKENS, MAX_TOKENS } from './reading/reading-document.js';
import { sampleDocuments } from './reading/sample.js';
import type { Audit } from './report.js';
import type { AuditSettings } from './settings.js';

/** A finished audit and where it lies. */
export interface WrittenAudit {
  readonly audit: Audit;
  readonly folder: string;
  readonly json: string;
  readonly page: string;
  readonly seconds: number;
}

/**
 * Audits a run, with token dynamics, overlap and a comparison where the settings ask for them, and writes audit.json and
 * report.html into `out` (RUN/audit).
 * @throws TokensieveError as `auditRun`, `tokenDynamics`, `ngramOverlap`, `compareRuns` and `sampleDocuments` throw;
 *   errors of the disk
 */
export async function auditTo(settings: AuditSettings, options: AuditOptions): Promise<WrittenAudit> {
  const began = performance.now();
  const numbers = await auditRun(settings, options);
  const compared = await withComparisons(numbers, settings, options);
  const reading = await readDocuments(numbers, compared, settings, options);
  const audit: Audit = {
    ...compared,
    sample: {
      seed: settings.seed,
      documents: reading.length,
      tokens: reading.reduce((sum, { tokens }) => sum + tokens.ids.length, 0),
      rule: `${settings.documents} documents drawn by seed ${settings.seed}, every document of the run equally likely, and those of highest and lowest mean excess; at most ${MAX_DOCUMENT_TOKENS} tokens of each and ${MAX_TOKENS} in all.`,
    },
  };
  const folder = settings.out ?? joinPath(settings.run, 'audit');
  const json = joinPath(folder, 'audit.json');
  const page = joinPath(folder, 'report.html');
  await writeFiles(options.storage, [
    [json, `${JSON.stringify(audit, null, 2)}\n`],
    [page, renderAudit(audit, reading)],
  ]);
  return { audit, folder, json, page, seconds: (performance.now() - began) / 1000 };
}

async function withComparisons(
  { audit, inputs }: AuditedNumbers,
  { run, weighted, dynamics, overlap, compare, seed, by }: AuditSettings,
  { storage, signal }: AuditOptions,
): Promise<Audit> {
  const texts = inputs.tokenizer?.texts ?? null;
  const classes = texts === null ? {} : { classOf: (id: number) => texts.classOf(id) };
  const found = {
    dynamics:
      dynamics === undefined
        ? null
        : await tokenDynamics(storage, dynamics, {
            ...classes,
            ...(texts !== null && { tokenizer: { name: run, hash: inputs.tokenizerHash } }),
            seed,
            signal,
          }),
    comparison:
      compare === undefined
        ? null
        : await compareRuns(storage, weighted ?? run, compare, {
            ...classes,
            ...(by !== undefined && { by }),
            seed,
            signal,
          }),
  };
  return {
    ...audit,
    dynamics: found.dynamics && texts !== null ? spellDynamics(found.dynamics, texts) : found.dynamics,
    comparison:
      found.comparison && texts !== null ? spellComparison(found.comparison, texts) : found.comparison,
    overlap:
      overlap === undefined
        ? null
        : await ngramOverlap(
            storage,
            {
              evaluation: Object.entries(overlap.evaluation).map(([name, patterns]) => ({
                name,
                patterns,
                ...(overlap.evaluation_text !== undefined && { text: overlap.evaluation_text }),
              })),
              reference: {
                patterns: overlap.reference,
                ...(overlap.reference_text !== undefined && { text: overlap.reference_text }),
              },
            },
            { n: overlap.n, signal },
          ),
  };
}

async function readDocuments(
  { run, inputs }: AuditedNumbers,
  { documents }: Audit,
  settings: AuditSettings,
  { storage, signal }: AuditOptions,
): Promise<readonly ReadingDocument[]> {
  if (settings.documents === 0) return [];
  const path = inputs.tokenizer?.path;
  const tokenizer =
    path === undefined
      ? null
      : await openTokenizer({ path, engine: 'auto', controlTokens: inputs.controlTokens, workers: 1 });
  const texts = inputs.tokenizer?.texts ?? null;
  try {
    return await sampleDocuments({
      storage,
      parts: run.parts,
      documentsFolder: run.documentsFolder,
      shards: await findShards(storage, settings.shards, inputs.remembered.shards),
      ...(settings.shards === undefined && { notOpened: inputs.remembered.notOpened }),
      tokenizer,
      tokenBytes: texts === null ? null : (id) => texts.bytes(id),
      seed: settings.seed,
      count: settings.documents,
      highest: documents.highest,
      lowest: documents.lowest,
      signal,
    });
  } finally {
    await tokenizer?.close();
  }
}

/** The shards that are named must be there; those that the run remembers may have gone. */
async function findShards(
  storage: Storage,
  named: readonly string[] | undefined,
  remembered: readonly string[] | null,
): Promise<readonly Shard[] | null> {
  if (named !== undefined) return expandShards(storage, named);
  if (remembered === null) return null;
  try {
    return await expandShards(storage, remembered);
  } catch (error) {
    if (error instanceof TokensieveError) return null;
    throw error;
  }
}

/** All files are staged before the first is put in place: a full disk leaves the audit before as it was. */
async function writeFiles(
  storage: Storage,
  files: readonly (readonly [path: string, text: string])[],
): Promise<void> {
  const staged: Awaited<ReturnType<Storage['stage']>>[] = [];
  try {
    for (const [path, text] of files) {
      const file = await storage.stage(path, { alone: true });
      staged.push(file);
      await file.write(Buffer.from(text, 'utf8'));
    }
    for (const file of staged) await file.commit();
  } catch (error) {
    for (const file of staged) await file.abort();
    throw error;
  }
}
