import { EMBEDDED_ENGINE } from '../engine/command.js';
import type { RunSettings } from '../parts/settings.js';
import type { ScoreSettings } from '../score/settings.js';

/** A program that settings would have started. */
export interface NamedProgram {
  readonly field: string;
  /** An engine's name, or an interpreter's path. */
  readonly program: string;
  readonly kind: 'engine' | 'python';
}

/** Which programs the settings of a scoring run or an evaluation name: what a stranger's file may not start. */
export function programsOf(settings: {
  readonly score: Pick<ScoreSettings, 'engine'> &
    Partial<Pick<ScoreSettings, 'reference_engine' | 'current_engine'>>;
  readonly run: Pick<RunSettings, 'python'>;
}): readonly NamedProgram[] {
  const { score, run } = settings;
  const engines = (['engine', 'reference_engine', 'current_engine'] as const).flatMap((key) => {
    const program = score[key];
    return program === undefined || program === EMBEDDED_ENGINE
      ? []
      : [{ field: `score.${key}`, program, kind: 'engine' } as const];
  });
  const { python } = run;
  return python === undefined
    ? engines
    : [...engines, { field: 'run.python', program: python, kind: 'python' }];
}
