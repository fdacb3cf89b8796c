/** The process of one stage. It ends with its parent: a stage whose worker is gone is another worker's. */
import type { Settings } from '../config/load.js';
import { endAtOnce } from '../end-at-once.js';
import { firstLine, TokensieveError } from '../errors.js';
import { hasQuarantined } from '../evaluate/report.js';
import { runStages } from '../pipeline/run-stages.js';
import { parseStages } from '../pipeline/stages.js';
import { routedStorage } from '../storage/routed.js';
import type { StageAnswer } from './stage-process.js';

const stop = new AbortController();
process.on('SIGTERM', () => stop.abort(new Error('stopped')));
// Ctrl-C reaches the whole group; the worker decides what becomes of its stage.
process.on('SIGINT', () => undefined);
process.on('disconnect', endAtOnce);

const tell = (answer: StageAnswer): void => void process.send?.(answer);

process.once('message', (message) => {
  const { stages, index, replace } = message as { stages: Settings[]; index: number; replace: boolean };
  run(stages, index, replace).then(
    (quarantined) => end({ result: { quarantined } }),
    (error: unknown) =>
      end({
        error:
          error instanceof TokensieveError
            ? { reach: error.reach, code: error.code, message: error.message }
            : { reach: 'fatal', code: 'stage-failed', message: firstLine(error) },
      }),
  );
});

async function run(settings: readonly Settings[], index: number, replace: boolean): Promise<boolean> {
  const { stages } = parseStages({ stages: settings }, 'queued run');
  const chosen = stages.slice(index, index + 1);
  let quarantined = false;
  const options = {
    storage: routedStorage(),
    signal: stop.signal,
    replace,
    open: () => ({ sink: (event: object) => tell({ event: { ...event } }), trainSink: () => undefined }),
  };
  for await (const stage of runStages(stages, chosen, options)) {
    if (stage.kind === 'eval') quarantined = hasQuarantined(stage.report);
  }
  return quarantined;
}

function end(answer: StageAnswer): void {
  process.send?.(answer, () => process.exit(0));
}
