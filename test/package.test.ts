import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import * as library from '#tokensieve/index.js';
import { webRows, writtenParquet } from './corpus/written-parquet.js';

// What is published, used as a stranger would: packed, installed in an empty folder, run, imported, type-checked.

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tokensieve-package-'));
afterAll(() => rmSync(folder, { recursive: true }));

const manifest = z
  .object({
    version: z.string(),
    dependencies: z.record(z.string(), z.string()),
    optionalDependencies: z.record(z.string(), z.string()),
  })
  .parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));

const packed = z
  .tuple([
    z.object({ filename: z.string(), size: z.number(), files: z.array(z.object({ path: z.string() })) }),
  ])
  .parse(
    JSON.parse(run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], root)),
  )[0];

// CUDA libraries come from another host than the registry; nothing here needs them.
function run(command: string, args: readonly string[], cwd: string): string {
  return execFileSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: {
      ...process.env,
      ONNXRUNTIME_NODE_INSTALL: 'skip',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** The version that is installed here, so that the consumer's tree is the one that was tested. */
const installed = (name: string): string =>
  z
    .object({ version: z.string() })
    .parse(JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'))).version;

describe('the tarball', () => {
  it('holds the library, the command, the schemas and the pipelines, and nothing else', () => {
    const paths = packed.files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([
        'package.json',
        'LICENSE',
        'dist/index.js',
        'dist/index.d.ts',
        'dist/cli/main.js',
        'dist/score/session.worker.js',
        'dist/device/device.probe.js',
        'dist/vendor/LICENSES.txt',
        'dist/web/index.html',
        'schemas/pipeline.json',
        'schemas/scored.arrow.json',
        'pipelines/quickstart.yaml',
        'fixtures/quickstart/make.mjs',
        'fixtures/bpe/train.mjs',
        'docs/methods.md',
        'python/src/tokensieve/engine/__main__.py',
      ]),
    );
    const allowed =
      /^(package\.json|scripts\/preinstall\.mjs|README\.md|LICENSE|CHANGELOG\.md|dist\/.*\.(js|d\.ts)|dist\/vendor\/LICENSES\.txt|dist\/web\/(index\.html|icon\.svg|assets\/[\w-]+\.css)|schemas\/[\w.-]+\.json|docs\/[\w-]+\.md|fixtures\/quickstart\/[\w/-]+\.mjs|fixtures\/quickstart\/(config\.json|README\.md)|fixtures\/bpe\/[\w-]+\.mjs|examples\/(engine\.mjs|README\.md)|python\/(LICENSE|README\.md)|python\/src\/tokensieve\/[\w/]+\.py|pipelines\/[\w.-]+\.yaml|pipelines\/shapes\/[\w.-]+\.json|pipelines\/deploy\/(slurm\.sh|kubernetes\.yaml|Containerfile(\.cuda)?))$/;
    expect(paths.filter((path) => !allowed.test(path))).toEqual([]);
    expect(paths.filter((path) => /\.test\.|\.map$|(^|\/)(test|bench)\//.test(path))).toEqual([]);
  });

  it('is smaller than 1.7 MB', () => {
    expect(packed.size).toBeLessThan(1.7e6);
  });
});

describe('installed in an empty folder', () => {
  beforeAll(() => {
    const names = [
      ...Object.keys(manifest.dependencies),
      ...Object.keys(manifest.optionalDependencies),
    ].filter((name) => existsSync(join(root, 'node_modules', name)));
    writeFileSync(
      join(folder, 'package.json'),
      JSON.stringify({
        type: 'module',
        private: true,
        dependencies: { tokensieve: `file:${packed.filename}` },
        devDependencies: { '@types/node': installed('@types/node') },
        overrides: Object.fromEntries(names.map((name) => [name, installed(name)])),
      }),
    );
    run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund'], folder);
  }, 600_000);

  const command = (...args: string[]): string =>
    run(join(folder, 'node_modules', '.bin', 'tokensieve'), args, folder);

  it('has the command', async () => {
    expect(command('--version')).toBe(`${manifest.version}\n`);
    expect(command('--help')).toContain('tokensieve score');
    const fields = { url: { type: 'UTF8' }, text: { type: 'UTF8' }, n: { type: 'INT64' } } as const;
    writeFileSync(join(folder, 'shard.parquet'), await writtenParquet(fields, webRows(12)));
    const found = z
      .object({ kind: z.string(), rows: z.number(), textColumn: z.string() })
      .parse(JSON.parse(command('inspect', 'shard.parquet', '--json')));
    expect(found).toEqual({ kind: 'parquet', rows: 12, textColumn: 'text' });
  });

  it('makes the quickstart’s corpus and begins its pipeline, with nothing of the repository', () => {
    const said = command('quickstart', '--to', 'pack-base', '--log', 'none');
    expect(said).toContain('made a mini-web of mathematics and a tokenizer: runs/quickstart');
    expect(said).toMatch(/packed \d+ documents/);
    const file = readFileSync(join(folder, 'runs/quickstart/quickstart.yaml'), 'utf8');
    expect(file).toContain('config: node_modules/tokensieve/fixtures/quickstart/config.json');
    expect(command('verify', 'runs/quickstart/packed/base')).toMatch(/sound: \d+ parts/);
    expect(command('status', 'runs/quickstart/quickstart.yaml')).toContain('slm-1');
  });

  it('is rid of the libraries of other systems by the doctor, and works as before', () => {
    const size = () =>
      readdirSync(join(folder, 'node_modules'), { recursive: true, encoding: 'utf8' })
        .map((name) => lstatSync(join(folder, 'node_modules', name)).size)
        .reduce((sum, bytes) => sum + bytes, 0);
    const before = size();
    command('doctor', '--trim', '--json');
    expect(size()).toBeLessThan(before / 2);
    expect(command('doctor')).toMatch(/native tokenizer +(ok|loads|.*loads)/);
  });

  it('has a library with every export, and nothing below it', () => {
    writeFileSync(
      join(folder, 'use.mjs'),
      `import * as library from 'tokensieve';
       const { createSelection, localStorage, METHODS, parsePipeline, selectionSettings, selectiveLoss, TokensieveError } = library;
       const settings = selectionSettings.parse({ method: 'slm', keep: 0.5, scope: 'sequence' });
       const batch = {
         sequenceIds: BigInt64Array.of(0n), offsets: Int32Array.of(0, 5), inputIds: Int32Array.of(1, 2, 3, 4, 5),
         columns: { reference_loss: Float32Array.of(NaN, 1, 1, 1, 1), current_loss: Float32Array.of(NaN, 1, 4, 3, 2) },
         segments: { offsets: Int32Array.of(0, 1), document: BigInt64Array.of(0n), tokenStart: Int32Array.of(0),
           tokenCount: Int32Array.of(5), byteStart: BigInt64Array.of(0n), byteEnd: BigInt64Array.of(9n) },
       };
       const part = { shard: 'a', part: 0, async *batches() { yield batch; } };
       const selection = createSelection(settings);
       const prepared = await selection.prepare([part]);
       const weights = [];
       for await (const { weights: some } of selection.weigh(part, prepared).batches) weights.push(...some);
       const loss = selectiveLoss(weights, batch.columns.current_loss, [0, 1, 1, 1, 1], 'weights');
       let refused = null;
       try { parsePipeline({}, 'here'); } catch (error) { refused = error instanceof TokensieveError && error.code; }
       const deep = await import('tokensieve/dist/cli/main.js').catch((error) => error.code);
       const schema = await import('tokensieve/schemas/pipeline.json', { with: { type: 'json' } });
       const { size } = await localStorage().stat('shard.parquet');
       console.log(JSON.stringify({ names: Object.keys(library).sort(), methods: METHODS.length, weights, loss, refused, deep,
         title: schema.default.title, size }));`,
    );
    const used = z
      .record(z.string(), z.unknown())
      .parse(JSON.parse(run(process.execPath, ['--no-warnings', 'use.mjs'], folder)));
    expect(used).toEqual({
      names: Object.keys(library).sort(),
      methods: library.METHODS.length,
      // Excess 0, 3, 2, 1: the better half is 3 and 2; (4 + 3) / 2.
      weights: [0, 0, 1, 1, 0],
      loss: 3.5,
      refused: 'bad-settings',
      deep: 'ERR_PACKAGE_PATH_NOT_EXPORTED',
      title: 'tokensieve pipeline',
      size: readFileSync(join(folder, 'shard.parquet')).length,
    });
  });

  it('has types that a strict consumer compiles against', () => {
    writeFileSync(
      join(folder, 'consumer.ts'),
      `import { localStorage, METHODS, parsePipeline, readSequences, scoreCorpus, TokensieveError } from 'tokensieve';
       import type { Method, Pipeline, RunEvent, ScoreReport, SequenceBatch } from 'tokensieve';

       const pipeline: Pipeline = parsePipeline({ shards: ['x.parquet'], reference: 'm', out: 'o' }, 'consumer');
       const names: readonly string[] = METHODS.map((method: Method) => method.name);
       const sink = (event: RunEvent): void => console.log(event.event, names);

       export async function firstLoss(path: string): Promise<number | undefined> {
         const file = await readSequences(localStorage(), path);
         for await (const batch of file.batches()) {
           const { columns }: SequenceBatch = batch;
           return columns.reference_loss?.[1];
         }
         return undefined;
       }

       export async function main(): Promise<ScoreReport | string> {
         try {
           return await scoreCorpus(pipeline, { storage: localStorage(), sink, signal: new AbortController().signal, replace: false });
         } catch (error) {
           return error instanceof TokensieveError ? error.code : 'unknown';
         }
       }

       // @ts-expect-error: settings are checked, not taken as they come
       pipeline.sequence.length = 'long';
       `,
    );
    const options = {
      compilerOptions: {
        target: 'es2023',
        // Types of onnxruntime-common name the DOM's; without it they need skipLibCheck.
        lib: ['es2023', 'dom'],
        module: 'nodenext',
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
        noEmit: true,
        types: ['node'],
      },
      files: ['consumer.ts'],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(options));
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { stdout } = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' });
    expect(stdout).toBe('');
  });
});
