import { z } from 'zod';
import { oneOrMore, withShorthand } from '../config/shorthand.js';
import { corpusSettings } from '../corpus/settings.js';
import { runSettings } from '../parts/settings.js';
import { scoreSettings } from '../score/settings.js';
import { sequenceSettings } from '../sequence/settings.js';
import { tokenizerSettings } from '../tokenizer/settings.js';
import { TASK_NAMES } from './tasks.js';

/**
 * The one definition of an evaluation: types, defaults and the flags of `tokensieve eval` (`meta.flag`). Sections
 * that a pipeline has too are the pipeline's own, so that held-out text is read, tokenized and packed as training
 * text is.
 */

const SET_NAME = /^[A-Za-z0-9][\w.-]{0,63}$/;

/** `NAME=GLOB` of the command line, several with one name being one set. */
const heldOut = withShorthand(
  z
    .record(z.string(), z.array(z.string().min(1)).min(1).readonly())
    .refine((sets) => Object.keys(sets).every((name) => SET_NAME.test(name)), {
      message:
        'expected NAME=GLOB, as in clean=held-out/*.parquet, with a name of at most 64 letters, digits, dots, dashes or underscores',
    }),
  oneOrMore(z.string().regex(/^[A-Za-z0-9][\w.-]{0,63}=.+$/)),
  (value) => {
    const given = typeof value === 'string' ? [value] : value;
    if (!Array.isArray(given)) return value;
    const sets: Record<string, string[]> = {};
    for (const one of given) {
      // Without a name it is all pattern, and the empty name is refused below.
      const [, name = '', pattern = String(one)] = /^([^=/]+)=(.+)$/s.exec(String(one)) ?? [];
      sets[name] = [...(Object.hasOwn(sets, name) ? (sets[name] ?? []) : []), pattern];
    }
    return sets;
  },
)
  .default({})
  .meta({
    flag: 'held-out',
    description:
      'Held-out documents, NAME=GLOB: files, folders or globs of shards as a corpus has them (repeatable)',
  });

const ANY_TASK = TASK_NAMES.join('|');

/** `mathqa,gsm8k` */
const tasks = withShorthand(
  z.array(z.enum(TASK_NAMES)).readonly(),
  oneOrMore(z.string().regex(new RegExp(`^(${ANY_TASK})(,(${ANY_TASK}))*$`))),
  (value) => {
    const given = typeof value === 'string' ? [value] : value;
    if (!Array.isArray(given)) return value;
    return [...new Set(given.flatMap((one) => (typeof one === 'string' ? one.split(',') : [one])))];
  },
)
  .default([])
  .meta({ flag: 'tasks', description: `Tasks to evaluate, with commas between: ${TASK_NAMES.join(', ')}` });

/** How held-out text becomes rows; requests have rules of their own and take length and BOS of it. */
export const evaluateSequence = z
  .strictObject({
    ...sequenceSettings.shape,
    length: sequenceSettings.shape.length.unwrap().optional().meta({
      flag: 'sequence-length',
      description: 'Tokens a row, context included (default: what the model takes, 2048 at most)',
    }),
    packing: sequenceSettings.shape.packing.unwrap().default('document').meta({
      flag: 'packing',
      description:
        'document: one document a row. packed: documents joined and cut into exact windows, as in training',
    }),
  })
  .refine((s) => s.overlap === undefined || s.length === undefined || s.overlap < s.length, {
    path: ['overlap'],
    message: 'overlap must be smaller than the sequence length',
  });

export const evaluateSettings = z
  .strictObject({
    model: z
      .string()
      .min(1)
      .meta({ flag: 'model', description: 'Model folder: a Hugging Face checkpoint or an ONNX export' }),
    held_out: heldOut,
    by: z.string().min(1).optional().meta({
      flag: 'by',
      description: 'Column that held-out loss is broken down by (default: the host of the url column)',
    }),
    tasks,
    task_data: z.string().min(1).optional().meta({
      flag: 'task-data',
      description: 'Folder of the tasks’ files, TASK/test.jsonl',
    }),
    shots: z.int().min(0).max(64).default(0).meta({
      flag: 'shots',
      description:
        'Worked examples before each question: the task file’s first items, which are then not scored',
    }),
    choices: z.enum(['task', 'text', 'letter']).default('task').meta({
      flag: 'choices',
      description:
        'What a multiple-choice answer is: its text, its letter with the options listed in the question, or as the task usually has it',
    }),
    limit: z.int().min(1).optional().meta({
      flag: 'limit',
      description: 'Only the first N documents of each held-out set and the first N items of each task',
    }),
    corpus: corpusSettings
      .pick({ text: true, max_text_bytes: true, max_page_bytes: true, part_bytes: true })
      .prefault({}),
    tokenizer: tokenizerSettings.prefault({}),
    sequence: evaluateSequence.prefault({}),
    score: scoreSettings
      .pick({ engine: true, compile: true, device: true, precision: true, batch_tokens: true })
      .prefault({}),
    run: runSettings
      .pick({ threads: true, card_memory: true, tokenizer_engine: true, python: true, cache: true })
      .prefault({}),
  })
  .refine((s) => s.tasks.length > 0 || Object.keys(s.held_out).length > 0, {
    path: ['held_out'],
    message: 'name held-out documents (--held-out NAME=GLOB), tasks (--tasks), or both',
  })
  .refine((s) => s.tasks.length === 0 || s.task_data !== undefined, {
    path: ['task_data'],
    message: 'tasks need the folder of their files (--task-data FOLDER)',
  });

/** An evaluation with every default filled in. */
export type EvaluateSettings = z.infer<typeof evaluateSettings>;
/** An evaluation as it may be written. */
export type EvaluateInput = z.input<typeof evaluateSettings>;
