import { sealed } from '../json/sealed.js';
import type { Storage } from '../storage/storage.js';
import { type EvaluateOptions, evaluate } from './evaluate.js';
import type { EvaluationReport } from './report.js';
import type { EvaluateSettings } from './settings.js';

/**
 * Evaluates a model and writes the report to a file, whole or not at all.
 * @throws TokensieveError as `evaluate` does; errors of the disk
 */
export async function evaluateTo(
  { out, ...settings }: EvaluateSettings & { readonly out: string },
  options: EvaluateOptions,
): Promise<EvaluationReport> {
  const report = await evaluate(settings, options);
  await writeEvaluation(options.storage, out, report);
  return report;
}

/** The report's file: JSON, one key a line, with a digest of all else in it. */
export async function writeEvaluation(
  storage: Storage,
  path: string,
  report: EvaluationReport,
): Promise<void> {
  const file = await storage.stage(path, { alone: true });
  try {
    await file.write(Buffer.from(`${JSON.stringify(sealed({ ...report }), null, 2)}\n`));
    await file.commit();
  } catch (error) {
    await file.abort();
    throw error;
  }
}
