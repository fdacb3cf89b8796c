import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readPipelineFile } from '#tokensieve/config/load.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { cliPath } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const root = temporaryFolder();
let inputs: QuickstartInputs;
const cache = process.env['XDG_CACHE_HOME'];
beforeAll(async () => {
  inputs = await quickstartInputs(join(root, 'q'));
  process.env['XDG_CACHE_HOME'] = join(root, 'cache');
});
afterAll(() => {
  if (cache === undefined) delete process.env['XDG_CACHE_HOME'];
  else process.env['XDG_CACHE_HOME'] = cache;
});

const init = (file: string, ...args: string[]) => cliHere(['init', join(root, file), ...args]);

describe('init by flags', () => {
  it('writes a pipeline of what is there, which names its schema and runs', async () => {
    const { code, stdout, stderr } = await init(
      'a.yaml',
      ...['--shards', inputs.shards, '--reference', inputs.reference, '--current', inputs.current],
      ...['--out', join(root, 'out')],
    );
    expect(stderr).toContain('3 shards; text in "text"');
    expect(stdout).toContain('rows of 2,048 tokens'.replace(',', ''));
    expect(code).toBe(0);
    const text = readFileSync(join(root, 'a.yaml'), 'utf8');
    const [, schema = ''] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? [];
    expect(existsSync(schema.startsWith('/') ? schema : join(root, schema))).toBe(true);
    const pipeline = parsePipeline(await readPipelineFile(join(root, 'a.yaml')), 'a.yaml');
    expect(pipeline).toMatchObject({
      shards: [inputs.shards],
      corpus: { text: 'text', keep: ['url'] },
      sequence: { length: 2048 },
      select: { method: 'slm', keep: 0.6 },
    });
    const ran = await cliHere(['run', join(root, 'a.yaml'), '--limit', '5', '--log', 'none']);
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/scored 15 documents[\s\S]*kept/) });
  });

  it('finds a text column of another name, and refuses one that is not there', async () => {
    mkdirSync(join(root, 'jsonl'), { recursive: true });
    writeFileSync(
      join(root, 'jsonl/a.jsonl'),
      ['1 + 1 = 2', 'x = 3']
        .map((content) => `${JSON.stringify({ id: 1, content, source: 's' })}\n`)
        .join(''),
    );
    const flags = [
      '--shards',
      join(root, 'jsonl'),
      '--reference',
      inputs.reference,
      '--sequence-length',
      '128',
    ];
    expect((await init('b.yaml', ...flags)).code).toBe(0);
    const text = readFileSync(join(root, 'b.yaml'), 'utf8');
    expect(text).toContain('  text: content\n');
    expect(text).toContain('  keep: [ source ]\n');
    expect(text).not.toContain('select:');
    expect(parsePipeline(await readPipelineFile(join(root, 'b.yaml')), 'b').sequence.length).toBe(128);
    const wrong = await init('c.yaml', ...flags, '--text-column', 'txt');
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/has no column "txt"; it has id, content, source/);
    expect(existsSync(join(root, 'c.yaml'))).toBe(false);
  });

  it('writes over nothing, and nothing where a model is none', async () => {
    const flags = ['--shards', inputs.shards, '--reference', inputs.reference];
    writeFileSync(join(root, 'mine.yaml'), 'mine');
    const refused = await init('mine.yaml', ...flags);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('is there already; --force') });
    expect(readFileSync(join(root, 'mine.yaml'), 'utf8')).toBe('mine');
    expect((await init('mine.yaml', ...flags, '--force')).code).toBe(0);
    const absent = await init('d.yaml', '--shards', inputs.shards, '--reference', join(root, 'nowhere'));
    expect(absent).toMatchObject({ code: expect.any(Number), stderr: expect.stringContaining('nowhere') });
    expect(absent.code).not.toBe(0);
    expect(existsSync(join(root, 'd.yaml'))).toBe(false);
    expect(await init('e.yaml', '--shards', inputs.shards)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--reference'),
    });
  });
});

describe('init on a terminal', () => {
  const hasScript = spawnSync('script', ['--version']).status === 0;
  if (!hasScript) console.warn('skipped: no script(1), which lends a command a terminal');

  it.skipIf(!hasScript)('asks, says what is wrong with an answer, and asks again', () => {
    const answers = [
      join(root, 'no-shards-here'),
      inputs.shards,
      join(root, 'no-model'),
      inputs.reference,
      inputs.current,
    ];
    const file = join(root, 'asked.yaml');
    const { status, stdout } = spawnSync(
      'script',
      ['-qec', `'${process.execPath}' '${cliPath}' init '${file}'`, '/dev/null'],
      { input: `${answers.join('\n')}\n`, encoding: 'utf8', cwd: root, timeout: 60_000 },
    );
    expect(stdout).toContain('Shards (files, folders or globs): ');
    expect(stdout).toMatch(/no-shards-here: no such file or folder/);
    expect(stdout).toMatch(/no-model/);
    expect(stdout).toContain('Current model');
    expect(status, stdout).toBe(0);
    expect(readFileSync(file, 'utf8')).toContain(`current: ${inputs.current}`);
  });

  it.skipIf(!hasScript)('writes nothing where the answers end', () => {
    const file = join(root, 'ended.yaml');
    const { stdout, status } = spawnSync(
      'script',
      ['-qec', `'${process.execPath}' '${cliPath}' init '${file}'`, '/dev/null'],
      { input: `${inputs.shards}\n\u0004`, encoding: 'utf8', cwd: root, timeout: 60_000 },
    );
    expect(stdout).toContain('nothing was written');
    expect(status).toBe(2);
    expect(existsSync(file)).toBe(false);
  });
});
