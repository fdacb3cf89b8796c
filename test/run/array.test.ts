import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { arrayShare } from '#tokensieve/parts/array-share.js';
import { cliPath, digestFolder, type Outcome, type RunningCli, runCli, startCli } from '../support/cli.js';
import { manySmallParts, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const deploy = fileURLToPath(new URL('../../pipelines/deploy/', import.meta.url));
const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = temporaryFolder();
const run = promisify(execFile);

/** A pipeline of packing, scoring and selection over small parts; every output below `out`. */
function pipelineFile(name: string): { file: string; out: string } {
  const out = join(folder, name);
  const file = join(folder, `${name}.yaml`);
  const rows = `shards: ['${shards}'], sequence: { length: 64 }, corpus: { part_bytes: 8192 }`;
  writeFileSync(
    file,
    `version: 1
stages:
  - pack: { ${rows}, tokenizer: { path: ${reference} }, out: ${join(out, 'clm')} }
  - score: { ${rows}, reference: ${reference}, current: ${current}, out: ${join(out, 'slm')}, score: { device: cpu }, run: { threads: 1, cache: ${join(folder, 'cache')} } }
  - select: { run: ${join(out, 'slm')} }
`,
  );
  return { file, out };
}

let shards: string;
let reference: string;
let current: string;
let expected: Record<string, string>;

beforeAll(async () => {
  ({ reference, current } = await quickstartInputs(join(folder, 'inputs')));
  shards = await manySmallParts(join(folder, 'corpus'));
  const local = pipelineFile('local');
  const { code, stderr } = await runCli(['run', local.file, '--log', 'none']);
  // The jsonl shard has rows without text, which are set aside.
  expect(code, stderr).toBe(3);
  expected = digestFolder(local.out);
  expect(Object.keys(expected).length).toBeGreaterThan(40);
});

describe('an array of three processes', () => {
  const { file, out } = (() => ({ file: join(folder, 'array.yaml'), out: join(folder, 'array') }))();
  const index = (i: number, ...more: string[]) =>
    startCli(['run', file, '--array-index', String(i), '--array-count', '3', '--log', 'json', ...more]);
  let outcomes: Outcome[];

  beforeAll(async () => {
    pipelineFile('array');
    // One of them is killed as its first part is between data and manifest: of packing, and again of scoring.
    const killedAt = (stage: string): RunningCli => {
      const killed = startCli(
        ['run', file, '--array-index', '1', '--array-count', '3', '--log', 'json', '--only', stage],
        { onLine: (line) => void (line.includes('"data-committed"') && killed.child.kill('SIGKILL')) },
      );
      return killed;
    };
    const packing = killedAt('pack');
    const scoring = killedAt('score');
    const others = [index(0), index(2)];
    for (const { outcome } of [packing, scoring]) expect((await outcome).signal).toBe('SIGKILL');
    outcomes = await Promise.all(
      [others[0], index(1), others[1]].map((one) => one?.outcome as Promise<Outcome>),
    );
  });

  it('makes each part once, and says what is left to do', () => {
    const made = new Map<string, number>();
    for (const { stdout, stderr, code } of outcomes) {
      // Only one of them has the jsonl shard, whose bad rows make the exit code.
      expect([0, 3]).toContain(code);
      expect(stdout).toMatch(/index \d of 3: (packed|scored) /);
      expect(stdout).toContain('next is select: when every index is done, run the same command once');
      let stage = '';
      for (const line of stderr.split('\n').filter((text) => text.startsWith('{'))) {
        const event = JSON.parse(line) as Record<string, unknown>;
        if (event['event'] === 'stage') stage = String(event['name']);
        if (event['event'] !== 'part-done') continue;
        const key = `${stage} ${event['shard']} ${event['part']}`;
        made.set(key, (made.get(key) ?? 0) + 1);
      }
    }
    expect(outcomes.filter(({ code }) => code === 3)).toHaveLength(1);
    expect(new Set(made.values())).toEqual(new Set([1]));
    // The killed process made none to its end.
    const manifests = Object.keys(expected).filter((path) =>
      /(packed|scored)\/.*\.manifest\.json$/.test(path),
    );
    expect(made.size).toBe(manifests.length);
    expect(existsSync(join(out, 'slm/weighted'))).toBe(false);
  });

  it('is seen by status, the killed process too', async () => {
    const { stdout, code } = await runCli(['status', join(out, 'slm'), '--json']);
    expect(code).toBe(0);
    const { stages } = JSON.parse(stdout) as {
      stages: {
        kind: string;
        parts: { done: number; running: number };
        workers: Record<string, unknown>[];
      }[];
    };
    const [scored] = stages;
    const manifests = Object.keys(expected).filter((path) => /scored\/.*\.manifest\.json$/.test(path));
    expect(scored?.parts).toMatchObject({ done: manifests.length, running: 0, stale: 0 });
    const states = scored?.workers.map(({ state, share }) => [state, (share as { index: number }).index]);
    expect(states?.toSorted()).toEqual([
      ['done', 0],
      ['done', 1],
      ['done', 2],
      ['silent', 1],
    ]);
    const text = await runCli(['status', join(out, 'slm')]);
    expect(text.stdout).toMatch(new RegExp(`^scored parts +${manifests.length} done`));
    expect(text.stdout).toContain('array 1/3');
  });

  it('leaves, with the stages that run once, the bytes of one process', async () => {
    const { code, stderr } = await runCli(['run', file, '--log', 'none']);
    expect(code, stderr).toBe(3);
    expect(digestFolder(out)).toEqual(expected);
  });

  it('refuses to begin with a stage that runs once', async () => {
    const once = join(folder, 'once.yaml');
    writeFileSync(once, `version: 1\nstages:\n  - audit: { run: ${join(out, 'slm')} }\n`);
    const { code, stderr } = await startCli(['run', once, '--array-index', '0', '--array-count', '3'])
      .outcome;
    expect(code).toBe(2);
    expect(stderr).toContain('stage audit (audit) is not made of parts');
  });

  it('is read from the environment only when it is asked for', async () => {
    const env = { ...process.env, JOB_COMPLETION_INDEX: '0', JOB_COMPLETIONS: '3' };
    const alone = await startCli(['run', file, '--only', 'pack', '--log', 'none'], { env }).outcome;
    expect(alone.stdout).not.toContain('index');
    const share = await startCli(['run', file, '--only', 'pack', '--executor', 'array', '--log', 'none'], {
      env,
    }).outcome;
    expect(share.stdout).toContain('index 0 of 3: packed ');
  });
});

describe('what is ready to deploy', () => {
  it('is a Slurm script that shares the parts out and then runs the rest', async () => {
    const { file, out } = pipelineFile('slurm');
    const script = join(deploy, 'slurm.sh');
    const slurm = (id: number) => ({
      ...process.env,
      TOKENSIEVE: `${process.execPath} ${cliPath}`,
      SLURM_ARRAY_TASK_ID: String(id),
      SLURM_ARRAY_TASK_MIN: '10',
      SLURM_ARRAY_TASK_MAX: '20',
      SLURM_ARRAY_TASK_STEP: '10',
      SLURM_ARRAY_TASK_COUNT: '2',
    });
    // Both end with 0, though one of them sets rows aside: a job that depends on them begins.
    await Promise.all([10, 20].map((id) => run('bash', [script, file], { env: slurm(id) })));
    expect(existsSync(join(out, 'slm/weighted'))).toBe(false);
    const once = { ...process.env, TOKENSIEVE: `${process.execPath} ${cliPath}`, ONCE: '1' };
    await expect(run('bash', [script, file], { env: once })).rejects.toMatchObject({ code: 3 });
    expect(digestFolder(out)).toEqual(expected);
  });

  it('is a Kubernetes manifest whose environment tells each pod its share', () => {
    const job = parse(readFileSync(join(deploy, 'kubernetes.yaml'), 'utf8'));
    expect([job.apiVersion, job.kind, job.spec.completionMode]).toEqual(['batch/v1', 'Job', 'Indexed']);
    const [container] = job.spec.template.spec.containers;
    const set = Object.fromEntries(
      container.env.map(({ name, value }: Record<string, string>) => [name, value]),
    );
    expect(arrayShare({}, { ...set, JOB_COMPLETION_INDEX: '15' })).toEqual({
      index: 15,
      count: job.spec.completions,
    });
    expect(container.command[2]).toContain('tokensieve run /pipeline/pipeline.yaml --executor array');
    const mounted = container.volumeMounts.map(({ name }: { name: string }) => name).toSorted();
    expect(job.spec.template.spec.volumes.map(({ name }: { name: string }) => name).toSorted()).toEqual(
      mounted,
    );
  });

  it.each(['Containerfile', 'Containerfile.cuda'])('%s copies what is there', (name) => {
    const text = readFileSync(join(deploy, name), 'utf8');
    const copied = [...text.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(
      ([, paths]) => paths?.split(' ') ?? [],
    );
    expect(copied.length).toBeGreaterThan(4);
    for (const path of copied) expect(existsSync(join(root, path)), path).toBe(true);
  });
});
