/** What a run's folder says of where its text is, by a stranger: nothing is asked, nothing is shown. */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolvePipeline } from '#tokensieve/service/pipeline/resolve.js';
import { openRoots } from '#tokensieve/service/pipeline/roots.js';
import { cliHere } from '../support/cli-here.js';
import { type QuickstartInputs, quickstartInputs, temporaryFolder } from '../support/quickstart.js';

const folder = temporaryFolder();
const run = join(folder, 'run');
const TEXT = 'the sum of two and three is five, told nowhere else';
let inputs: QuickstartInputs;

const asked: string[] = [];
const server = createServer((request, response) => {
  asked.push(`${request.method} ${request.url}`);
  response.writeHead(404).end();
});
let url: string;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  inputs = await quickstartInputs(join(folder, 'inputs'));
  mkdirSync(join(folder, 'text'));
  writeFileSync(join(folder, 'text/a.jsonl'), `${JSON.stringify({ text: TEXT })}\n`.repeat(3));
  const args = ['--reference', inputs.reference, '--current', inputs.current, '--sequence-length', '64'];
  const score = ['score', '--shards', join(folder, 'text/a.jsonl'), '--out', run, '--log', 'none'];
  expect((await cliHere([...score, ...args])).code).toBe(0);
  expect((await cliHere(['select', run, '--log', 'none'])).code).toBe(0);
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

/** A copy of the run whose folder remembers other places. */
function stranger(name: string, notes: Record<string, unknown>, weightedAlone = false): string {
  const copy = join(folder, name);
  cpSync(run, copy, { recursive: true });
  const before = JSON.parse(readFileSync(join(run, 'run.json'), 'utf8'));
  // A digest of the file's own may stand in it.
  const { digest: _, ...rest } = before;
  writeFileSync(join(copy, 'run.json'), JSON.stringify({ ...rest, ...notes }));
  if (weightedAlone) rmSync(join(copy, 'scored'), { recursive: true });
  return copy;
}

async function audited(from: string, ...args: string[]): Promise<string> {
  const out = `${from}-page`;
  const { code, stderr } = await cliHere(['audit', from, '--out', out, '--log', 'none', ...args]);
  expect(code, stderr).toBe(0);
  return readFileSync(join(out, 'report.html'), 'utf8');
}

describe('a path that a run remembers', () => {
  it('on local disk is opened, and its text shown where it is the one that was scored', async () => {
    const page = await audited(stranger('own', {}));
    expect(page.includes('is rebuilt from ids')).toBe(false);
    const changed = join(folder, 'changed/a.jsonl');
    mkdirSync(join(folder, 'changed'));
    writeFileSync(changed, `${JSON.stringify({ text: TEXT.replace('five', 'nine') })}\n`.repeat(3));
    const other = await audited(stranger('other', { shards: [changed] }));
    expect(other.includes('its digest differs')).toBe(true);
  });

  it('on another machine is not asked, by any command that reads the run', async () => {
    const shards = [`${url}/a.jsonl?token=SECRET`];
    const copy = stranger('remote', { shards });
    const page = await audited(copy);
    expect(/no folder.{1,6}s word opens a URL/.test(page)).toBe(true);
    expect(page.includes('SECRET')).toBe(false);
    const to = ['--to', 'jsonl', '--out', join(folder, 'exported'), '--log', 'none'];
    const exported = await cliHere(['export', copy, ...to, '--tokenizer', inputs.reference]);
    expect(exported.code).toBe(2);
    expect(exported.stderr).toMatch(/its text is at http:.*name its shards with --shards/);
    expect(exported.stderr).not.toContain('SECRET');
    await audited(stranger('remote-tokenizer', { shards, tokenizer: `${url}/tokenizer.json` }));
    await cliHere(['verify', copy]);
    await cliHere(['status', copy]);
    await cliHere(['inspect', copy]);
    await cliHere(['diff', copy, run]);
    expect(asked).toEqual([]);
  });

  it.each([[[]], [['--shards']]])('shows no text that no digest vouches for %j', async (flag) => {
    const private_ = join(folder, 'private');
    mkdirSync(private_, { recursive: true });
    writeFileSync(join(private_, 'a.jsonl'), `${JSON.stringify({ text: TEXT })}\n`.repeat(3));
    const shards = [join(private_, 'a.jsonl')];
    const copy = stranger(`alone${flag.length}`, { shards }, true);
    const page = await audited(copy, ...flag.flatMap((name) => [name, ...shards]));
    expect(page.includes('no documents file says which text was scored')).toBe(true);
  });
});

describe('the service', () => {
  it('judges what a run remembers as if the request had named it', async () => {
    const root = join(folder, 'root');
    mkdirSync(join(root, 'jobs/20260101t000000-0001'), { recursive: true });
    cpSync(join(folder, 'text'), join(root, 'text'), { recursive: true });
    cpSync(join(inputs.reference, 'tokenizer.json'), join(root, 'tokenizer.json'));
    const roots = await openRoots([root]);
    const [real = ''] = roots;
    const job = join(real, 'jobs/20260101t000000-0001');
    const remembered = async (name: string, notes: Record<string, unknown>, more = {}) => {
      renameSync(stranger(name, notes), join(root, name));
      const stages = [
        { audit: { run: name, out: 'page', ...more } },
        { export: { run: name, to: 'jsonl', out: 'lines', ...more } },
      ];
      const { settings } = await resolvePipeline({ stages }, { roots, jobs: join(real, 'jobs'), job });
      const made = settings['stages'] as Record<string, { remembered: unknown }>[];
      expect(made[1]?.['export']?.remembered).toEqual(made[0]?.['audit']?.remembered);
      return made[0]?.['audit']?.remembered;
    };
    const inside = { shards: [join(real, 'text/a.jsonl')], tokenizer: join(real, 'tokenizer.json') };
    expect(await remembered('inside', inside)).toEqual(inside);
    const nothing = { shards: [], tokenizer: null };
    const outside = { shards: [join(folder, 'text/a.jsonl')], tokenizer: inputs.reference };
    expect(await remembered('outside', outside)).toEqual(nothing);
    // Nor does a request bring it.
    expect(await remembered('brought', outside, { remembered: outside })).toEqual(nothing);
    expect(await remembered('urls', { shards: [`${url}/a`], tokenizer: 's3://b/t' })).toEqual(nothing);
    expect(await remembered('up', { shards: ['../text/a.jsonl'], tokenizer: '../../x' })).toEqual(nothing);
    expect(asked).toEqual([]);
  });
});
