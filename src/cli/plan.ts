import type { CommandModule } from 'yargs';
import { planRun, type RunPlan } from '../run/plan-run.js';
import { planStaged } from '../run/stage-facts.js';
import { routedStorage } from '../storage/routed.js';
import { EXIT, untilInterrupted } from './exit.js';
import { bytes, count, duration, percent, significant, table } from './format.js';
import { jobFrom, pipelineFrom, scoringOptions } from './pipeline-options.js';
import { stagedPlanText } from './views/staged-plan.js';

export const planCommand: CommandModule = {
  command: 'plan [pipeline]',
  describe: 'What a run would do and cost; scores nothing',
  builder: (yargs) =>
    yargs
      .positional('pipeline', { type: 'string', describe: 'Pipeline file (YAML); flags alone work too' })
      .options({
        ...scoringOptions,
        tflops: {
          type: 'number',
          requiresArg: true,
          description: 'Rate to reckon with, in TFLOP/s that the models reach',
        },
        json: { type: 'boolean', default: false, description: 'Print the plan as JSON, every part included' },
      })
      .example(
        '$0 plan pipelines/openwebmath-1b.yaml --tflops 400',
        'Tokens, FLOPs and hours on a card that reaches 400 TFLOP/s',
      ),
  handler: (args) =>
    untilInterrupted(async () => {
      const file = args['pipeline'] === undefined ? undefined : String(args['pipeline']);
      const job =
        file === undefined
          ? { kind: 'run' as const, pipeline: await pipelineFrom(args) }
          : await jobFrom(args, file);
      const tflops = args['tflops'] as number | undefined;
      const options = { storage: routedStorage(), ...(tflops !== undefined && { tflops }) };
      if (job.kind === 'stages') {
        const plan = await planStaged(job.staged, options);
        print(plan, stagedPlanText(plan), args['json'] === true);
        return EXIT.done;
      }
      const plan = await planRun(job.pipeline, options);
      print(plan, describePlan(plan), args['json'] === true);
      return plan.broken.length > 0 ? EXIT.quarantined : EXIT.done;
    }),
};

/** A plan for people, or for programs, which get the text too. */
function print(plan: object, text: string, asJson: boolean): void {
  process.stdout.write(`${asJson ? JSON.stringify({ ...plan, text }, null, 2) : text}\n`);
}

function describePlan({ cost, broken, deviceWhy, rate }: RunPlan): string {
  const rows = [
    ['shards', `${cost.shards}${broken.length > 0 ? `, and ${broken.length} broken` : ''}`],
    ['parts', String(cost.parts)],
    ['rows', cost.rows === null ? 'known after reading (jsonl)' : count(cost.rows)],
    ['text', bytes(cost.textBytes)],
    ['tokens', `${count(cost.tokens)} (${significant(cost.bytesPerToken)} bytes a token, sampled)`],
    ...Object.entries(cost.flops).map(([role, flops]) => [`${role} model`, `${flops.toExponential(3)} FLOP`]),
    ['time', cost.seconds === null ? '?' : `${duration(cost.seconds)} (${rate})`],
    ['device', deviceWhy],
    ['scored files', bytes(cost.outputBytes)],
    ['share of a training run', shareText(cost.share)],
  ];
  return [table(rows), ...broken.map(({ shard, detail }) => `broken: ${shard}: ${detail}`)].join('\n');
}

function shareText({ frozen, live }: RunPlan['cost']['share']): string {
  if (frozen === null || live === null) return 'unknown without a current model';
  return `scoring is ${percent(frozen)} of scoring plus one epoch of training (${percent(live)} when training is live: only the reference is scored)`;
}
