import { describe, expect, it } from 'vitest';
import { fleetRates, paperCorpus } from '#tokensieve/cli/fleet-options.js';
import { pipelineSchema } from '#tokensieve/pipeline/settings.js';
import { type FleetRates, type FleetWork, planFleet } from '#tokensieve/plan/plan-fleet.js';
import { paperWork } from '#tokensieve/plan/plan-paper.js';
import { runCli } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';

const SHAPE = 'pipelines/shapes/tinyllama-1.1b.json';
const HOUR = 3600;

const work: FleetWork = {
  tokens: 15e9,
  // 2.25 GFLOP a token, two models.
  flops: 15e9 * 2 * 2.25e9,
  textBytes: 32e9,
  inputBytes: 30e9,
  outputBytes: 180e9,
  modelBytes: 4.4e9,
  parts: 1000,
};
/** 800 TFLOP/s, half of it reached. */
const rates: FleetRates = {
  workers: 1,
  flopsPerSecond: 400e12,
  coresPerWorker: 8,
  tokensPerSecondPerCore: 1e6,
  networkBytesPerSecond: 1e9,
  pricePerHour: null,
};

describe('a fleet on paper', () => {
  it('takes what a hand calculation takes', () => {
    const plan = planFleet(work, rates);
    // 15e9 · 4.5e9 / 4e14 = 168,750 s
    expect(plan.deviceSeconds).toBe(168_750);
    expect(plan.deviceSeconds / HOUR).toBeCloseTo(46.875, 6);
    expect(plan.seconds).toMatchObject({ tokenizing: 1875, network: 210 });
    expect(plan.bottleneck).toBe('device');
    expect(plan.wallSeconds).toBeCloseTo(168_750 + 4.4, 6);
    expect(plan).toMatchObject({ cost: null, bytesIn: 34.4e9, bytesOut: 180e9, partSeconds: 168.75 });
  });

  it('of many workers pays for the last, uneven round and for reading the models each time', () => {
    const plan = planFleet(work, { ...rates, workers: 64, pricePerHour: 2 });
    // 1000 parts over 64: somebody makes 16.
    expect(plan.partsPerWorker).toBe(16);
    expect(plan.wallSeconds).toBeCloseTo(16 * 168.75 + 4.4, 6);
    expect(plan.workerSeconds).toBeCloseTo(64 * plan.wallSeconds, 6);
    expect(plan.cost).toBeCloseTo((64 * plan.wallSeconds * 2) / HOUR, 6);
    expect(plan.bytesIn).toBe(30e9 + 64 * 4.4e9);
    // More workers than parts: the rest is not paid for.
    const crowd = planFleet(work, { ...rates, workers: 5000 });
    expect(crowd.workerSeconds).toBeCloseTo(1000 * crowd.wallSeconds, 6);
  });

  it('names what limits it', () => {
    const portable = planFleet(work, { ...rates, coresPerWorker: 1, tokensPerSecondPerCore: 50_000 });
    expect(portable).toMatchObject({ bottleneck: 'tokenizing', partSeconds: 300 });
    expect(portable.load).toMatchObject({ tokenizing: 1, device: 168_750 / 300_000 });
    expect(planFleet(work, { ...rates, networkBytesPerSecond: 1e6 }).bottleneck).toBe('network');
  });

  it('knows a model by its config.json alone', async () => {
    const settings = {
      shards: ['none'],
      out: 'none',
      reference: SHAPE,
      current: SHAPE,
      sequence: { length: 2048 },
    };
    const corpus = { tokens: 15e9, textBytesPerToken: 2, inputBytesPerToken: 1 };
    const { work: found, models } = await paperWork(pipelineSchema.parse(settings), corpus);
    expect(models[0]?.parameters).toBe(1_100_048_384);
    expect((models[0]?.flopsPerToken ?? 0) / 1e9).toBeCloseTo(2.25, 2);
    expect(found).toMatchObject({ textBytes: 30e9, inputBytes: 15e9, outputBytes: 180e9 });
  });

  it('is planned by the command line without a corpus, a tokenizer or a weight', async () => {
    const args = ['plan', '--tokens', '15e9', '--reference', SHAPE, '--current', SHAPE];
    const fleet = [
      '--sequence-length',
      '2048',
      '--workers',
      '64',
      '--device',
      'h100',
      '--price',
      '2',
      '--json',
    ];
    const { code, stdout, stderr } = await runCli([...args, ...fleet]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const { plan, rates: used, text } = JSON.parse(stdout);
    expect(used).toMatchObject({ workers: 64, flopsPerSecond: 400e12 });
    expect(plan.deviceSeconds / HOUR).toBeCloseTo(46.9, 1);
    expect(text).toContain('a goal, not measured');
  });

  it('is planned for the scoring stages of a pipeline by what it assumes', async () => {
    const args = ['plan', 'pipelines/general-mix.yaml', '--workers', '100', '--device', 'h100', '--json'];
    const { code, stdout, stderr } = await cliHere(args);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const { fleets } = JSON.parse(stdout);
    expect(fleets.map(({ name }: { name: string }) => name)).toEqual([
      'slimpajama',
      'starcoder',
      'openwebmath',
    ]);
    // 48e9 tokens, 2 · 1.1e9 operations each, at 400 TFLOP/s.
    expect(fleets[0].plan.deviceSeconds).toBeCloseTo((48e9 * 2.2e9) / 400e12, 3);
  });

  it('refuses rates that are none', () => {
    expect(() => fleetRates({ tokens: 1e9 })).toThrow(/no rate of a worker/);
    expect(() => fleetRates({ device: 'h100', mfu: 2 })).toThrow(/--mfu 2: expected a share/);
    expect(() => fleetRates({ device: 'h100', cores: -1 })).toThrow(/--cores -1: expected a number above 0/);
    expect(() => paperCorpus({ tokens: 0 })).toThrow(/--tokens 0: expected a number above 0/);
    expect(fleetRates({ tflops: 300 }).rates).toMatchObject({ flopsPerSecond: 300e12, workers: 1 });
  });
});
