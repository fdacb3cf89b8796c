import { z } from 'zod';
import { firstLine, usageError } from '../errors.js';
import { isJsonObject } from '../json/canonical-json.js';
import { parseJson } from '../json/parse-json.js';
import { isBroken } from '../json/sealed.js';
import type { Storage } from '../storage/storage.js';
import type { Section } from './section.js';

/** Longest report that is read, in bytes. */
const MAX_BYTES = 64 << 20;

const figure = z.union([z.number(), z.literal('N/A')]);
/** What of `tokensieve eval`'s report is shown here. */
const evaluationSchema = z.object({
  model_name: z.string(),
  held_out: z.record(
    z.string(),
    z.object({ documents: z.number(), loss: figure, loss_stderr: figure, bits_per_byte: figure }),
  ),
});

/**
 * The held-out losses of several evaluated models in one table.
 * @throws TokensieveError `bad-evaluation` (usage) for files that are no reports
 */
export async function evaluationSection(storage: Storage, paths: readonly string[]): Promise<Section> {
  const reports = await Promise.all(paths.map((path) => readEvaluation(storage, path)));
  const sets = [...new Set(reports.flatMap(({ held_out }) => Object.keys(held_out)))];
  return {
    title: 'Whole held-out sets (nats a token ± standard error over documents; bits a byte)',
    notes: [],
    table: {
      columns: [
        { title: 'model' },
        ...sets.flatMap((set) => [
          { title: `${set}, nats`, number: true },
          { title: 'bits a byte', number: true },
        ]),
      ],
      rows: reports.map(({ model_name, held_out }) => [
        model_name,
        ...sets.flatMap((set) => {
          const found = held_out[set];
          if (found === undefined) return ['', ''];
          return [`${digits(found.loss)} ± ${digits(found.loss_stderr)}`, digits(found.bits_per_byte)];
        }),
      ]),
    },
  };
}

const digits = (value: z.output<typeof figure>): string =>
  typeof value === 'number' ? value.toFixed(3) : value;

async function readEvaluation(storage: Storage, path: string): Promise<z.output<typeof evaluationSchema>> {
  const { size } = await storage.stat(path);
  const problem = (what: string, cause?: unknown) =>
    usageError('bad-evaluation', `${path}: ${what}; expected a report of tokensieve eval`, { cause });
  if (size > MAX_BYTES) throw problem(`${size} bytes long`);
  let json: unknown;
  try {
    json = parseJson(Buffer.from(await storage.readRange(path, 0, size)).toString('utf8'));
  } catch (error) {
    throw problem(`not JSON (${firstLine(error)})`, error);
  }
  if (isJsonObject(json) && isBroken(json)) throw problem('damaged, its digest is not that of its content');
  const parsed = evaluationSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw problem(`field ${issue?.path.join('.') || '(whole)'}: ${issue?.message}`);
}
