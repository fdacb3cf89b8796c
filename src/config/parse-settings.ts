import type { z } from 'zod';
import { usageError } from '../errors.js';

/**
 * Checks settings against a schema and fills in the defaults.
 * @param source where the settings come from, for messages
 * @throws TokensieveError `bad-settings` (usage): every wrong field with what was found and expected
 */
export function parseSettings<T extends z.ZodType>(
  schema: T,
  settings: unknown,
  source: string,
): z.output<T> {
  const result = schema.safeParse(settings);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const path = issue.path.join('.');
    return path === '' ? issue.message : `${path}: ${issue.message}`;
  });
  throw usageError('bad-settings', `${source}: ${problems.join('; ')}`);
}
