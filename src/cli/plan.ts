import { usageError } from '../errors.js';
import type { Stage } from '../pipeline/stages.js';
import { type FleetWork, planFleet } from '../plan/plan-fleet.js';
import { paperWork, stageWork } from '../plan/plan-paper.js';
import { planRun, type RunPlan } from '../plan/plan-run.js';
import { planStaged, type StagedPlan } from '../plan/stage-facts.js';
import { rulesText } from '../rules/run-rules.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { asksForFleet, fleetDevices, fleetOptions, fleetRates, paperCorpus } from './fleet-options.js';
import { bytes, count, duration, percent, significant, table } from './format.js';
import { print } from './output.js';
import { jobFrom, pipelineFrom, scoringOptions } from './pipeline-options.js';
import { fleetPlanText } from './views/fleet-plan.js';
import { stagedPlanText } from './views/staged-plan.js';

export const planCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('pipeline', { type: 'string', describe: 'Pipeline file (YAML); flags alone work too' })
      .options({
        ...scoringOptions,
        device: {
          ...scoringOptions['device'],
          choices: [...((scoringOptions['device']?.choices ?? []) as string[]), ...fleetDevices],
        },
        workers: {
          ...scoringOptions['workers'],
          description: 'With a device of the fleet, --tokens or --price: machines of one device each',
          group: 'Fleet, on paper:',
        },
        ...fleetOptions,
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
      )
      .example(
        '$0 plan --tokens 15e9 --reference pipelines/shapes/tinyllama-1.1b.json --workers 8 --device h100',
        'Hours, bytes and the bottleneck of eight H100s, from sizes alone',
      ),
  handler: (args) =>
    untilInterrupted(async () => {
      const file = args['pipeline'] === undefined ? undefined : String(args['pipeline']);
      const fleet = asksForFleet(args) ? fleetRates(args) : null;
      if (fleet !== null && args['tokens'] !== undefined) return planOnPaper(args, file, fleet);
      // Workers and devices of a fleet are no settings of the pipeline.
      const own = fleet === null ? args : { ...args, workers: undefined, device: undefined };
      const job =
        file === undefined
          ? { kind: 'run' as const, pipeline: await pipelineFrom(own) }
          : await jobFrom(own, file);
      const tflops =
        fleet === null ? (args['tflops'] as number | undefined) : fleet.rates.flopsPerSecond / 1e12;
      const options = { storage: routedStorage(), ...(tflops !== undefined && { tflops }) };
      if (job.kind === 'stages') {
        const plan = await planStaged(job.staged, options);
        const fleets = fleet === null ? [] : stagesOnFleet(plan, job.staged.stages, fleet, args);
        const text = [stagedPlanText(plan), ...fleets.map((one) => `\nstage ${one.name}\n${one.text}`)];
        await printPlan({ ...plan, ...(fleet && { fleets }) }, text.join('\n'), args['json'] === true);
        return EXIT.done;
      }
      const plan = await planRun(job.pipeline, options);
      const onFleet = fleet === null ? null : fleetOf(corpusWork(plan), fleet);
      const text = onFleet === null ? describePlan(plan) : `${describePlan(plan)}\n\n${onFleet.text}`;
      await printPlan({ ...plan, ...(onFleet && { fleet: onFleet }) }, text, args['json'] === true);
      return plan.broken.length > 0 ? EXIT.quarantined : EXIT.done;
    }),
};

/** A corpus that is not at hand, by its tokens and the shapes of models. */
async function planOnPaper(
  args: Readonly<Record<string, unknown>>,
  file: string | undefined,
  fleet: Fleet,
): Promise<number> {
  if (file !== undefined) {
    throw usageError(
      'no-pipeline',
      `--tokens plans without a pipeline file; ${file} has its own sizes under assume`,
    );
  }
  const { assumed, ...corpus } = paperCorpus(args);
  const places = { shards: ['not at hand'], out: 'not at hand' };
  const pipeline = await pipelineFrom({ ...places, ...args, workers: undefined, device: undefined });
  const { work, models } = await paperWork(pipeline, corpus);
  const plan = fleetOf(work, fleet, [
    assumed,
    ...models.map(
      ({ path, parameters, flopsPerToken }) =>
        `model ${path}: ${count(parameters)} parameters, ${significant(flopsPerToken / 1e9)} GFLOP a token in rows of ${pipeline.sequence.length}`,
    ),
  ]);
  await printPlan({ ...plan, models }, plan.text, args['json'] === true);
  return EXIT.done;
}

type Fleet = ReturnType<typeof fleetRates>;

function fleetOf(work: FleetWork, { rates, assumed }: Fleet, more: readonly string[] = []) {
  const plan = planFleet(work, rates);
  const all = [...more, ...assumed];
  return { work, rates, plan, assumed: all, text: fleetPlanText(work, rates, plan, all) };
}

/** The work of a run whose shards are at hand. Weights are counted as bf16. */
function corpusWork({ cost, plans, modelBytes }: RunPlan): FleetWork {
  return {
    tokens: cost.tokens,
    flops: cost.totalFlops,
    textBytes: cost.textBytes,
    inputBytes: plans.reduce((sum, { identity }) => sum + identity.size, 0),
    outputBytes: cost.outputBytes,
    modelBytes,
    parts: cost.parts,
  };
}

/** Scoring stages, which many workers share; training is one worker's. Those of unknown size are left out. */
function stagesOnFleet(
  { stages }: StagedPlan,
  settings: readonly Stage[],
  fleet: Fleet,
  args: Readonly<Record<string, unknown>>,
) {
  return settings.flatMap((stage) => {
    const cost = stages.find(({ name }) => name === stage.name);
    if (stage.kind !== 'score' || cost?.tokens == null || cost.flops === null) return [];
    const { assumed, ...corpus } = paperCorpus({ ...args, tokens: cost.tokens });
    const work = stageWork(stage.settings, corpus, cost.flops);
    return [{ name: stage.name, ...fleetOf(work, fleet, [assumed, '2 operations a parameter and token']) }];
  });
}

/** A plan for people, or for programs, which get the text too. */
const printPlan = (plan: object, text: string, asJson: boolean): Promise<void> =>
  print(asJson ? JSON.stringify({ ...plan, text }, null, 2) : text);

function describePlan({ cost, broken, deviceWhy, rate, rules }: RunPlan): string {
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
  const old = rules === null ? [] : rulesText(rules).map((line) => `in the output folder: ${line}`);
  return [table(rows), ...old, ...broken.map(({ shard, detail }) => `broken: ${shard}: ${detail}`)].join(
    '\n',
  );
}

function shareText({ frozen, live }: RunPlan['cost']['share']): string {
  if (frozen === null || live === null) return 'unknown without a current model';
  return `scoring is ${percent(frozen)} of scoring plus one epoch of training (${percent(live)} when training is live: only the reference is scored)`;
}
