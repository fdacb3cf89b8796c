import { z } from 'zod';
import type { Settings } from '../../config/load.js';
import { parseSettings } from '../../config/parse-settings.js';
import { FEW_SHOT_TASK_NAMES } from './questions.js';

const required = (message: string) => z.string({ error: message }).min(1);

/** What `eval --dump-prompts` takes of an evaluation's flags. */
const dumpSettings = z.strictObject({
  tasks: z.preprocess(
    (given) =>
      (Array.isArray(given) ? given : [given]).flatMap((one) =>
        typeof one === 'string' ? one.split(',') : [],
      ),
    z.array(z.enum(FEW_SHOT_TASK_NAMES)).min(1, 'name tasks (--tasks gsm8k,math)'),
  ),
  task_data: required('tasks need the folder of their files (--task-data FOLDER)'),
  shots: z.literal('paper', { error: 'prompts are written for the paper’s worked examples (--shots paper)' }),
  prompts: required('the paper’s worked examples are files (--prompts FOLDER, with cot/gsm8k.md and others)'),
  limit: z.int().min(1).optional(),
  dump_prompts: z.string().min(1),
});

export type DumpSettings = z.infer<typeof dumpSettings>;

/** @throws TokensieveError `bad-settings` (usage) */
export const parseDump = (settings: Settings, source: string): DumpSettings =>
  parseSettings(dumpSettings, settings, source);
