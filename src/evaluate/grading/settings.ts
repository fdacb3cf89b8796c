import { z } from 'zod';
import type { Settings } from '../../config/load.js';
import { parseSettings } from '../../config/parse-settings.js';
import { GRADED_TASK_NAMES } from './tasks.js';

/** The one definition of `tokensieve grade`. */
export const gradeSettings = z.strictObject({
  outputs: z
    .string()
    .min(1)
    .meta({ description: 'JSON lines of outputs with their right answers; may be .gz or .zst' }),
  task: z
    .enum(GRADED_TASK_NAMES)
    .meta({ flag: 'task', description: 'Task that the outputs answer: it tells how an answer is found' }),
  out: z.string().min(1).optional().meta({
    flag: 'out',
    description: 'File for the verdicts, JSON lines, one an item in the order of the outputs',
  }),
  against: z
    .string()
    .min(1)
    .optional()
    .meta({ flag: 'against', description: 'Outputs of another model for the same items' }),
  page: z
    .string()
    .min(1)
    .optional()
    .meta({ flag: 'page', description: 'File for a page with every question, output and verdict' }),
});

export type GradeSettings = z.infer<typeof gradeSettings>;
export type GradeInput = z.input<typeof gradeSettings>;

/**
 * Checks settings of `gradeFiles`.
 * @throws TokensieveError `bad-settings` (usage)
 */
export const parseGrade = (settings: Settings | GradeInput, source: string): GradeSettings =>
  parseSettings(gradeSettings, settings, source);
