import { z } from 'zod';
import { fatalError } from '../errors.js';
import { isJsonObject } from '../json/canonical-json.js';
import { parseJson } from '../json/parse-json.js';
import { isBroken, sealed } from '../json/sealed.js';
import { redacted } from '../redacted.js';
import { joinPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';

/**
 * Where a scoring run got its inputs, beside its output folder's parts. Manifests name inputs by hash alone, so that
 * they are equal wherever the run was made; this file is for reports, which want names, sizes and the text itself.
 * Nothing depends on it: without it a report says less.
 */
export const RUN_NOTES_FILE = 'run.json';
/** Longest file that is read. */
const MAX_BYTES = 1 << 20;

const path = z.string().min(1).max(4096);

const modelNotes = z.object({
  role: z.enum(['reference', 'current']),
  folder: path.meta({ description: 'As it was given' }),
  hash: z.string(),
  architecture: z.string(),
  parameters: z.number().min(0),
  weight_type: z.string(),
  flops_per_token: z
    .number()
    .min(0)
    .meta({ description: 'Floating-point operations of a forward pass, at the length of the rows' }),
});

const runNotesSchema = z.object({
  version: z.literal(1),
  shards: z.array(path).max(100_000).meta({ description: 'Files, folders and globs, as they were given' }),
  tokenizer: path.nullable(),
  models: z.array(modelNotes).max(2),
  rules: z.string().max(10).optional().meta({
    description: 'Date of the newest change of the rules that the run was made by; absent in older runs',
  }),
});

/** By which the text of such a file is known, where it is JSON no more. */
const NAMES = ['shards', 'tokenizer', 'models', 'digest'];

export type RunNotes = z.infer<typeof runNotesSchema>;

/** Writes the notes of a run into its output folder, replacing older ones; secrets in URLs are left out. */
export async function writeRunNotes(storage: Storage, out: string, notes: RunNotes): Promise<void> {
  const file = await storage.stage(joinPath(out, RUN_NOTES_FILE), { onConflict: 'replace' });
  try {
    await file.write(
      Buffer.from(
        `${JSON.stringify(sealed({ ...notes, shards: notes.shards.map(redacted) }), null, 2)}\n`,
        'utf8',
      ),
    );
    await file.commit();
  } catch (error) {
    await file.abort();
    throw error;
  }
}

/**
 * The notes in a folder; null where there are none, or none that can be read.
 * @throws TokensieveError (fatal) `bad-run-notes` where they are damaged: they name the files that reports quote
 */
export async function readRunNotes(storage: Storage, folder: string): Promise<RunNotes | null> {
  const file = joinPath(folder, RUN_NOTES_FILE);
  const text = await readFile(storage, file);
  if (text === null) return null;
  let json: unknown = null;
  try {
    json = parseJson(text);
  } catch {
    // Told below where it was sealed.
  }
  const parsed = runNotesSchema.safeParse(json);
  // Damage may have hit one of the names, or what stands around it.
  const isOurs = NAMES.filter((name) => text.includes(name)).length >= NAMES.length - 1;
  if (isOurs && (!isJsonObject(json) || isBroken(json))) {
    throw fatalError(
      'bad-run-notes',
      `${file}: is damaged, its digest is not that of its content; run the command that wrote it again, or remove it: reports then say less`,
    );
  }
  return parsed.success ? parsed.data : null;
}

async function readFile(storage: Storage, file: string): Promise<string | null> {
  try {
    const { size } = await storage.stat(file);
    return size > MAX_BYTES ? null : Buffer.from(await storage.readRange(file, 0, size)).toString('utf8');
  } catch {
    return null;
  }
}
