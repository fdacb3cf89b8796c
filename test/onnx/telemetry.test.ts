import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { cliPath, startCli } from '../support/cli.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

// ONNX Runtime tells its makers what it is used for, and keeps a database and a log of it, unless it is told not to.
const scratch = temporaryFolder();
let inputs: QuickstartInputs;
beforeAll(async () => {
  inputs = await quickstartInputs(join(scratch, 'inputs'));
  writeFileSync(join(scratch, 'docs.jsonl'), '{"text": "One and one are two."}\n');
});

// It stays silent by itself where one of these says that a CI service runs it, which would prove nothing here.
const CI_MARKS = 'CI BUILDKITE CIRCLECI GITHUB_ACTIONS GITLAB_CI JENKINS_URL TF_BUILD TRAVIS'.split(' ');

/** What a command leaves in its user's cache, temporary and working folder beside this package's own. */
async function leftBy(
  name: string,
  args: readonly string[],
  more: NodeJS.ProcessEnv = {},
): Promise<string[]> {
  const folders = { HOME: 'home', XDG_CACHE_HOME: 'cache', TMPDIR: 'tmp' };
  const base = join(scratch, name);
  const env = { ...process.env, ...Object.fromEntries(CI_MARKS.map((mark) => [mark, undefined])), ...more };
  for (const [key, folder] of Object.entries({ ...folders, cwd: 'cwd' })) {
    mkdirSync(join(base, folder), { recursive: true });
    if (key in folders) env[key] = join(base, folder);
  }
  const { code, stderr } = await startCli(args, { cwd: join(base, 'cwd'), env }).outcome;
  expect(code, stderr).toBe(0);
  return readdirSync(base, { recursive: true, encoding: 'utf8' }).filter(
    (path) => /\.onnxruntime|mat-debug|\.ses$/.test(path) || /\.db(-\w+)?$/.test(path),
  );
}

const score = () => [
  ...['score', '--shards', join(scratch, 'docs.jsonl'), '--out', join(scratch, `out-${Math.random()}`)],
  ...['--reference', inputs.reference, '--current', inputs.current, '--log', 'none'],
];

describe('the telemetry of ONNX Runtime', () => {
  it('is off where models run in threads', async () => {
    expect(await leftBy('off', score(), { ORT_DISABLE_TELEMETRY: undefined })).toEqual([]);
  });

  it('is off where a process of its own probes an export', async () => {
    const model = join(import.meta.dirname, '../../fixtures/models/onnx/llama-genai-int4');
    const args = ['model', 'info', model, '--tokenizer', join(inputs.reference, 'tokenizer.json')];
    expect(await leftBy('probe', args.slice(0, 3), { ORT_DISABLE_TELEMETRY: undefined })).toEqual([]);
  });

  it('is there, and seen by this test, where somebody asks for it', async (context) => {
    const seen = await leftBy('on', score(), { ORT_DISABLE_TELEMETRY: '0' });
    // Whether it begins is the runtime's own affair (it may need a machine id or a network); that it is off is ours.
    context.skip(seen.length === 0, 'SKIPPED: the runtime left nothing on this machine though asked to');
    expect(seen.some((path) => /\.onnxruntime|mat-debug|\.ses$|\.db/.test(path))).toBe(true);
  });

  it('is off for a program that calls the library', async () => {
    const library = pathToFileURL(join(cliPath, '../../score/score-run.js')).href;
    await import(library);
    expect(process.env['ORT_DISABLE_TELEMETRY']).toBe('1');
  });
});
