import { hasQuarantined } from '../evaluate/report.js';
import type { Share } from '../parts/share.js';
import {
  chooseStages,
  type FinishedStage,
  runStages,
  type StageChoice,
  stagesOfArray,
} from '../pipeline/run-stages.js';
import type { StagedPipeline } from '../pipeline/stages.js';
import { type Section, sectionText } from '../report/section.js';
import { routedStorage } from '../storage/routed.js';
import { EXIT } from './exit.js';
import { count, duration, percent, printable } from './format.js';
import { importExit } from './import.js';
import { shareText } from './options.js';
import { say } from './output.js';
import { type LogKind, openProgress } from './progress.js';
import { partsExit } from './score.js';
import { openTrainProgress } from './train-progress.js';
import { keptText } from './views/audit.js';

/** What the processes of an array say where stages are left that run once. */
export const AFTERWARDS =
  'when every index is done, run the same command once without the array: it checks every part and goes on';

export interface StagedOptions extends StageChoice {
  readonly log: LogKind;
  /** Seconds between two progress lines of a log. */
  readonly logEvery: number;
  readonly replace: boolean;
  readonly signal: AbortSignal;
  /** Do one share of the parts alone, and no stage that runs once. */
  readonly share: Share | undefined;
}

/** Runs a pipeline's stages, a line on stdout for each, reports in full. Resolves to the exit code. */
export async function runStaged({ stages }: StagedPipeline, options: StagedOptions): Promise<number> {
  const { share } = options;
  const asked = chooseStages(stages, options);
  const chosen = share === undefined ? asked : stagesOfArray(asked);
  const width = Math.max(...chosen.map(({ name }) => name.length));
  const began = performance.now();
  let code: number = EXIT.done;
  let stop = (): void => undefined;
  try {
    const finished = runStages(stages, chosen, {
      storage: routedStorage(),
      signal: options.signal,
      replace: options.replace,
      share,
      open: ({ name, kind }) => {
        openProgress(options.log, options.logEvery, share).sink({ event: 'stage', name, kind });
        const progress = openProgress(kind === 'train' ? 'none' : options.log, options.logEvery, share);
        const training = openTrainProgress(kind === 'train' ? options.log : 'none', options.logEvery);
        stop = () => {
          progress.stop();
          training.stop();
        };
        return { sink: progress.sink, trainSink: training.sink };
      },
    });
    for await (const stage of finished) {
      stop();
      const { name, seconds } = stage;
      say(
        `${printable(name).padEnd(width)}  ${duration(seconds).padStart(8)}  ${shareText(share)}${stageLine(stage)}`,
      );
      if (stage.kind === 'report') say(`\n${reportText(stage.report.sections)}`);
      if (quarantined(stage)) code = EXIT.quarantined;
    }
    say(`${chosen.length} stages in ${duration((performance.now() - began) / 1000)}`);
    const [next] = asked.slice(chosen.length);
    if (next !== undefined) say(`next is ${printable(next.name)}: ${AFTERWARDS}`);
    return code;
  } finally {
    stop();
  }
}

const reportText = (sections: readonly Section[]): string =>
  sections.map((section) => `${sectionText(section).split('\n').map(printable).join('\n')}\n`).join('\n');

/** What a stage did, on one line. */
function stageLine(stage: FinishedStage): string {
  switch (stage.kind) {
    case 'pack':
    case 'score': {
      const { documents, tokens, parts, resumed, folder } = stage.report;
      const before = resumed > 0 ? `, ${resumed} done before` : '';
      const did = stage.kind === 'pack' ? 'packed' : 'scored';
      return `${did} ${count(documents)} documents, ${count(tokens)} tokens in ${parts} parts${before}: ${folder}`;
    }
    case 'select': {
      const { kept, eligible, conventions, folder } = stage.report;
      return `kept ${percent(kept / Math.max(eligible, 1))} of ${count(eligible)} tokens by ${conventions.method}: ${folder}`;
    }
    case 'train': {
      const { steps, resumed, last, model } = stage.report;
      if (last === null) return `${count(steps)} steps, all done before: ${model}`;
      const heldOut = Object.entries(last.held_out ?? {}).map(([name, loss]) => `${name} ${loss.toFixed(3)}`);
      const losses =
        heldOut.length > 0
          ? `held-out loss ${heldOut.join(', ')}`
          : `loss ${last.loss_selected?.toFixed(3) ?? 'none, nothing was kept'}`;
      const empty = last.empty_steps === undefined ? '' : `, ${count(last.empty_steps)} kept no token`;
      const before = resumed > 0 ? `, ${count(resumed)} done before` : '';
      return `${count(steps)} steps, ${count(last.tokens)} tokens${before}${empty}, ${losses}: ${model}`;
    }
    case 'eval': {
      const losses = Object.entries(stage.report.held_out).map(
        ([name, { loss }]) => `${name} ${typeof loss === 'number' ? loss.toFixed(3) : loss}`,
      );
      const evaluated = Object.keys(stage.report.results).length - losses.length;
      const tasks = evaluated > 0 ? `; ${evaluated} tasks` : '';
      return `held-out loss ${losses.join(', ')}${tasks}: ${stage.report.model_name}`;
    }
    case 'report':
      return stage.report.path;
    case 'audit': {
      const { audit, page } = stage.report;
      return `${count(audit.totals.eligible)} tokens${keptText(audit.totals)}: ${page}`;
    }
    case 'import': {
      const { eligible, column, parts, resumed, folder } = stage.report;
      const before = resumed > 0 ? `, ${resumed} done before` : '';
      return `${column} of ${count(eligible)} targets imported, ${parts} parts${before}: ${folder}`;
    }
    case 'export': {
      const { tokens, format, shards, folder } = stage.report;
      return `${count(tokens)} ids to ${format} in ${shards} shards: ${folder}`;
    }
  }
}

function quarantined(stage: FinishedStage): boolean {
  if (stage.kind === 'eval') return hasQuarantined(stage.report);
  if (stage.kind === 'import') return importExit(stage.report) === EXIT.quarantined;
  return (stage.kind === 'pack' || stage.kind === 'score') && partsExit(stage.report) === EXIT.quarantined;
}
