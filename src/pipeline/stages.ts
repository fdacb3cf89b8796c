import { z } from 'zod';
import { auditSettings } from '../audit/settings.js';
import { mergeSettings, type Settings } from '../config/load.js';
import { inheritText } from '../config/origin.js';
import { parseSettings } from '../config/parse-settings.js';
import { usageError } from '../errors.js';
import { evaluateSettings } from '../evaluate/settings.js';
import { exportSchema } from '../export/settings.js';
import { importSchema } from '../import/settings.js';
import { packSchema } from '../pack/settings.js';
import { reportSchema } from '../report/settings.js';
import { scoreSchema } from '../score/settings.js';
import { selectionSettings } from '../select/settings.js';
import { trainSchema } from '../train/settings.js';
import { pipelineSchema } from './settings.js';

/** What `tokensieve select` is given: a scoring run and a folder beside the settings of selection. */
const selectSchema = selectionSettings.extend({
  run: z.string().min(1).meta({ description: 'Output folder of a scoring run' }),
  out: z.string().min(1).optional().meta({ description: 'Folder for the weighted files (RUN/weighted)' }),
});

/** What `tokensieve eval` is given; a stage always writes its report. */
const evaluateSchema = evaluateSettings.safeExtend({
  out: z.string().min(1).meta({ description: 'File for the report, JSON' }),
});

/** The settings of every kind of stage: those of its command. */
export const STAGE_SCHEMAS = {
  pack: packSchema,
  train: trainSchema,
  score: scoreSchema,
  select: selectSchema,
  eval: evaluateSchema,
  report: reportSchema,
  audit: auditSettings,
  export: exportSchema,
  import: importSchema,
} as const;

export type StageKind = keyof typeof STAGE_SCHEMAS;
export type StageSettings = { readonly [K in StageKind]: z.output<(typeof STAGE_SCHEMAS)[K]> };
/** A stage of one kind, with a name of its own and its settings, defaults filled in. */
export type StageOf<K extends StageKind> = {
  readonly [P in K]: { readonly name: string; readonly kind: P; readonly settings: StageSettings[P] };
}[K];
export type Stage = StageOf<StageKind>;

const KINDS = Object.keys(STAGE_SCHEMAS) as readonly StageKind[];

const stageSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z][a-z0-9_-]{0,63}$/i)
      .optional()
      .meta({ description: 'How --from, --only and --set call the stage (default: its kind)' }),
    pack: packSchema.optional(),
    train: trainSchema.optional(),
    score: scoreSchema.optional(),
    select: selectSchema.optional(),
    eval: evaluateSchema.optional(),
    report: reportSchema.optional(),
    audit: auditSettings.optional(),
    export: exportSchema.optional(),
    import: importSchema.optional(),
  })
  .refine((stage) => KINDS.filter((kind) => stage[kind] !== undefined).length === 1, {
    message: `is one of ${KINDS.join(', ')}, with the settings of that command`,
  });

/** Figures by path, for plans made before the files are there. */
const figures = z.record(z.string().min(1), z.number().positive()).default({});

/** A pipeline of several stages, as its file has it. */
export const stagedSchema = z.strictObject({
  version: z.literal(1).default(1).meta({ description: 'Version of this file’s format' }),
  shared: z.unknown().optional().meta({
    description: 'Never read: a place for YAML anchors that stages merge (`<<: *name`)',
  }),
  assume: z
    .strictObject({
      tokens: figures.meta({ description: 'Tokens of a corpus, by the first of its shards’ names' }),
      parameters: figures.meta({ description: 'Parameters of a model, by its folder' }),
    })
    .prefault({})
    .meta({ description: 'What `plan` goes by where files are not there yet; runs do not read it' }),
  stages: z.array(stageSchema).min(1).max(1000),
});

/** A pipeline file of either form, for its JSON Schema; to read one, ask `isStaged` first: the messages are better. */
export const pipelineFileSchema = z.union([pipelineSchema, stagedSchema]);

export interface StagedPipeline {
  readonly stages: readonly Stage[];
  readonly assume: z.output<typeof stagedSchema>['assume'];
}

/** Whether a file is a pipeline of stages, as opposed to a single run. */
export const isStaged = (settings: Settings): boolean => Object.hasOwn(settings, 'stages');

/**
 * Checks a pipeline of stages and fills in the defaults.
 * @param source where the settings come from, for messages
 * @throws TokensieveError (usage) `bad-settings`; `stage-names` when two stages have one name
 */
export function parseStages(settings: Settings, source: string): StagedPipeline {
  const { stages, assume } = parseSettings(stagedSchema, settings, source);
  const named = stages.map((stage): Stage => {
    const kind = KINDS.find((candidate) => stage[candidate] !== undefined);
    // The schema has seen to it that there is exactly one.
    return { name: stage.name ?? kind, kind, settings: kind && stage[kind] } as Stage;
  });
  const seen = new Set<string>();
  for (const [index, { name, kind }] of named.entries()) {
    if (seen.has(name)) {
      throw usageError(
        'stage-names',
        `${source}: stages.${index}: a second stage called ${name}; give each ${kind} stage a name: of its own`,
      );
    }
    seen.add(name);
  }
  return { stages: named, assume };
}

/**
 * Settings of stages with assignments by stage name laid over them: `{base: {batch: {steps: 5}}}` changes the stage
 * called base.
 * @throws TokensieveError (usage) `bad-set` when no stage has the name
 */
export function overrideStages(settings: Settings, assignments: readonly Settings[]): Settings {
  const stages = settings['stages'];
  if (!Array.isArray(stages)) return settings;
  const changed: unknown[] = [...stages];
  const over: Record<number, Settings> = {};
  for (const [name, patch] of assignments.flatMap((assignment) => Object.entries(assignment))) {
    const index = changed.findIndex((stage) => nameOf(stage) === name);
    const stage = changed[index];
    const kind = KINDS.find((candidate) => isObject(stage) && Object.hasOwn(stage, candidate));
    if (!isObject(stage) || kind === undefined) {
      throw usageError(
        'bad-set',
        `--set ${name}: no stage is called that; the stages are ${stages.map(nameOf).join(', ')}`,
      );
    }
    changed[index] = mergeSettings(stage, { [kind]: patch });
    over[index] = mergeSettings(over[index] ?? {}, { [kind]: patch });
  }
  const overridden = { ...settings, stages: changed };
  inheritText(overridden, settings, { stages: over });
  return overridden;
}

/** The name of a stage that has not been checked yet. */
function nameOf(stage: unknown): string {
  if (!isObject(stage)) return '?';
  const { name } = stage;
  return typeof name === 'string' ? name : (KINDS.find((kind) => Object.hasOwn(stage, kind)) ?? '?');
}

const isObject = (value: unknown): value is Settings => typeof value === 'object' && value !== null;
