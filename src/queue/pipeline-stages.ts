import type { Settings } from '../config/load.js';
import { weightedFolder } from '../dataset/part-files.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { Pipeline } from '../pipeline/settings.js';
import { parsePipeline } from '../pipeline/settings.js';
import { isStaged, parseStages, type Stage } from '../pipeline/stages.js';
import { runId } from './jobs.js';

/** Stages as jobs carry them: a pipeline file's own form. */
export const stageSettings = (stages: readonly Stage[]): JsonObject[] =>
  stages.map(
    ({ name, kind, settings }) => JSON.parse(JSON.stringify({ name, [kind]: settings })) as JsonObject,
  );

/** A single run as the stages that it is. */
export function stagesOfRun({ select, ...score }: Pipeline): readonly Stage[] {
  const { out } = score;
  return [
    { name: 'score', kind: 'score', settings: score },
    ...(select === undefined
      ? []
      : [
          {
            name: 'select',
            kind: 'select' as const,
            settings: { ...select, run: out, out: weightedFolder(out) },
          },
        ]),
  ];
}

/**
 * What a pipeline file's run is called in a queue, with all its stages and no other flags.
 * @throws TokensieveError (usage) `bad-settings`, `stage-names`
 */
export function runOfSettings(settings: Settings, source: string): string {
  const stages = isStaged(settings)
    ? parseStages(settings, source).stages
    : stagesOfRun(parsePipeline(settings, source));
  return runId(stageSettings(stages));
}
