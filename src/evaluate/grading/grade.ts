/** `tokensieve grade`: one file of outputs, or two of the same items side by side. */
import { TokensieveError, usageError } from '../../errors.js';
import { absolutePath } from '../../storage/path.js';
import type { Storage } from '../../storage/storage.js';
import { type GradedItem, type GradeOptions, gradeFile } from './grade-file.js';
import { gradingPage } from './page/render.js';
import { compared, pairsOf } from './paired.js';
import type { GradeReport } from './report.js';
import type { GradeSettings } from './settings.js';

/**
 * Grades what the settings name and writes what they ask for; files are there whole or not at all.
 * @throws TokensieveError (usage) `no-outputs`, `out-is-input`; errors of the disk
 */
export async function grade(settings: GradeSettings, options: GradeOptions): Promise<GradeReport> {
  const { outputs, task, out, against, page } = settings;
  refuseOverwriting(settings);
  const { storage, sink } = options;
  const inputs = [outputs, ...(against === undefined ? [] : [against])];
  const sizes = await Promise.all(inputs.map((path) => sizeOf(storage, path)));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  sink({ event: 'planned', shards: inputs.length, parts: 1, done: 0, text_bytes: bytes, done_bytes: 0 });
  const keeps = page !== undefined || against !== undefined;
  const [own, other]: [GradedItem[], GradedItem[]] = [[], []];
  const file =
    out === undefined ? undefined : await storage.stage(out, { onConflict: 'replace', alone: true });
  try {
    const grades = await gradeFile(outputs, task, options, {
      ...(file !== undefined && { out: file }),
      ...(keeps && { seen: (item: GradedItem) => own.push(item) }),
    });
    await file?.commit();
    const second =
      against === undefined
        ? null
        : await gradeFile(against, task, options, { seen: (item: GradedItem) => other.push(item) });
    const pairs = pairsOf(own, second === null ? null : other);
    const report: GradeReport = {
      grades,
      against: second === null ? null : { grades: second, comparison: compared(own, other) },
    };
    if (page !== undefined) {
      const staged = await storage.stage(page, { onConflict: 'replace', alone: true });
      try {
        await staged.write(Buffer.from(gradingPage(report, pairs), 'utf8'));
        await staged.commit();
      } catch (error) {
        await staged.abort();
        throw error;
      }
    }
    return report;
  } catch (error) {
    await file?.abort();
    throw error;
  }
}

const sizeOf = async (storage: Storage, path: string): Promise<number> =>
  (
    await storage.stat(path).catch((error: unknown) => {
      if (!(error instanceof TokensieveError && error.code === 'not-found')) throw error;
      throw usageError('no-outputs', `${path}: no such file; expected JSON lines of outputs`, {
        cause: error,
      });
    })
  ).size;

function refuseOverwriting({ outputs, against, out, page }: GradeSettings): void {
  const inputs = [outputs, against].filter((path) => path !== undefined).map(absolutePath);
  for (const [flag, path] of [
    ['--out', out],
    ['--page', page],
  ] as const) {
    if (path !== undefined && inputs.includes(absolutePath(path)))
      throw usageError('out-is-input', `${path}: holds the outputs; choose another ${flag}`);
  }
  if (out !== undefined && page !== undefined && absolutePath(out) === absolutePath(page))
    throw usageError('out-is-input', `${out}: is both --out and --page; choose another for one of them`);
}
