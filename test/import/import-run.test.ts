import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { readManifest } from '#tokensieve/dataset/manifest.js';
import { verifyFolder } from '#tokensieve/dataset/verify.js';
import { type ImportOptions, importScores } from '#tokensieve/import/import-run.js';
import { parseImport } from '#tokensieve/import/settings.js';
import { packCorpus } from '#tokensieve/pack/pack-run.js';
import { parsePack } from '#tokensieve/pack/settings.js';
import type { EventSink } from '#tokensieve/parts/events.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { scoreCorpus } from '#tokensieve/score/score-run.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { trainSchema } from '#tokensieve/train/settings.js';
import { trainRun } from '#tokensieve/train/train-run.js';
import type { Row } from '../dataset/batches.js';
import { idOf, writeCorpus } from '../export/support.js';
import { digestFolder, filesBelow, runCli, startCli } from '../support/cli.js';
import { cliHere } from '../support/cli-here.js';
import {
  manySmallParts,
  type QuickstartInputs,
  quickstartInputs,
  temporaryFolder,
} from '../support/quickstart.js';
import { tinyLlama } from '../support/training.js';
import { importFrom, refusal, rowsOf, storage, writeRun } from './support.js';

const folder = temporaryFolder();
const at = (...names: string[]): string => join(folder, ...names);
let inputs: QuickstartInputs;
/** Rows that both models scored, the truth of these tests. */
let truth: Row[];
let written = 0;

interface Record {
  input_ids: number[];
  losses: (number | null)[];
}
const recordOf = (row: Row): Record => ({
  input_ids: [...row.ids],
  losses: (row.columns['reference_loss'] ?? []).map((loss) => (Number.isNaN(loss) ? null : loss)),
});
function write(records: readonly unknown[]): string {
  const path = at(`source-${written++}.jsonl`);
  writeFileSync(path, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return path;
}
const importArgs = (run: string, losses: string, out: string, ...more: string[]): string[] => [
  ...['import', run, '--losses', losses, '--out', out, '--model-name', 'elsewhere', '--log', 'json', ...more],
];

beforeAll(async () => {
  inputs = await quickstartInputs(at('inputs'));
  const shards = await manySmallParts(at('corpus'));
  const run = { threads: 1 };
  const rows = { shards: [shards], corpus: { part_bytes: 4096, limit: 6 }, sequence: { length: 64 } };
  const options = { storage, sink: () => undefined, signal: new AbortController().signal, replace: false };
  const { reference, current } = inputs;
  const score = { ...rows, current, score: { device: 'cpu' }, run } as const;
  await scoreCorpus(parsePipeline({ ...score, reference, out: at('both') }, 'test'), options);
  await scoreCorpus(parsePipeline({ ...score, out: at('current') }, 'test'), options);
  await packCorpus(
    parsePack({ ...rows, tokenizer: { path: reference }, out: at('packed') }, 'test'),
    options,
  );
  truth = await rowsOf(at('both'));
});

describe('losses of a model that scored the same rows elsewhere', () => {
  it('make a packed run a scored one, with documents, provenance and conventions', async () => {
    const source = write(truth.map(recordOf));
    const out = at('from-packed');
    const { code, stdout, stderr } = await runCli(importArgs(at('packed'), source, out));
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^imported reference_loss of [\d.k]+ targets/);
    const rows = await rowsOf(out);
    const want = truth.map(({ columns: { reference_loss = [] }, ...row }) => ({
      ...row,
      columns: { reference_loss },
    }));
    expect(rows).toEqual(want);
    expect((await verifyFolder(storage, out)).findings).toEqual([]);
    const [manifest = ''] = filesBelow(out).filter((path) => path.endsWith('.manifest.json'));
    expect((await readManifest(storage, manifest)).recipe['import']).toMatchObject({
      model_name: 'elsewhere',
      as: 'reference',
      per: 'row',
      sources: [{ name: source.slice(folder.length + 1), bytes: readFileSync(source).length }],
      into: { kind: 'packed' },
    });
    expect(filesBelow(out).filter((path) => path.endsWith('.documents.arrow')).length).toBeGreaterThan(3);
  });

  it('complete a run of current losses: rows and selected weights are those of scoring with both models', async () => {
    const out = at('from-current');
    await importFrom(at('current'), write(truth.map(recordOf)), out);
    expect(await rowsOf(out)).toEqual(truth);
    for (const run of [out, at('both')]) {
      const { code, stderr } = await cliHere([
        'select',
        run,
        '--method',
        'slm',
        '--keep',
        '0.6',
        '--log',
        'none',
      ]);
      expect(code, stderr).toBe(0);
    }
    expect(await rowsOf(out, 'weighted')).toEqual(await rowsOf(at('both'), 'weighted'));
  });

  it('replace those of a scored run; with --as current the other column', async () => {
    const source = write(
      truth
        .map(recordOf)
        .map(({ input_ids, losses }) => ({ input_ids, losses: losses.map((loss) => loss && 2 * loss) })),
    );
    for (const as of ['reference', 'current'] as const) {
      const out = at(`replaced-${as}`);
      await importFrom(at('both'), source, out, { as });
      const rows = await rowsOf(out);
      const other = as === 'reference' ? 'current_loss' : 'reference_loss';
      expect(rows.map(({ columns }) => columns[other])).toEqual(truth.map(({ columns }) => columns[other]));
      expect(rows.map(({ columns }) => columns[`${as}_loss`])).toEqual(
        truth.map(({ columns }) => columns['reference_loss']?.map((loss) => Math.fround(2 * loss))),
      );
    }
  });

  it('serve live selection in training: the same weights as from scored files, bit for bit', async () => {
    writeFileSync(at('config.json'), JSON.stringify({ ...tinyLlama, vocab_size: 512 }));
    const train = async (name: string, run: string): Promise<Buffer> => {
      const settings = parseSettings(
        trainSchema,
        {
          out: at(name),
          model: { config: at('config.json'), tokenizer: inputs.reference },
          data: { sources: [run] },
          batch: { rows: 4, steps: 2 },
          loss: { kind: 'slm', selection: 'live' },
          run: { device: 'cpu' },
        },
        'test',
      );
      const signal = new AbortController().signal;
      const { model } = await trainRun(settings, { storage: localStorage(), sink: () => undefined, signal });
      return readFileSync(join(model, 'model.safetensors'));
    };
    await importFrom(at('packed'), write(truth.map(recordOf)), at('to-train'));
    const weights = await train('trained', at('to-train', 'scored'));
    expect(weights.equals(await train('trained-truth', at('both', 'scored')))).toBe(true);
  });

  it('as a stage of a pipeline', async () => {
    const source = write(truth.map(recordOf));
    writeFileSync(
      at('pipeline.yaml'),
      `stages:\n  - import: { run: ${at('packed')}, losses: [${source}], model_name: elsewhere, out: ${at('staged')} }\n`,
    );
    const { code, stdout, stderr } = await runCli(['run', at('pipeline.yaml'), '--log', 'none']);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/reference_loss of [\d.k]+ targets imported/);
    expect((await verifyFolder(storage, at('staged'))).findings).toEqual([]);
  });
});

describe('what does not fit', () => {
  const changed = (change: (records: Record[]) => unknown): string => {
    const records = truth.map(recordOf);
    change(records);
    return write(records);
  };

  it('another id: refused with source, position, both ids, and what to do; parts before it stay', async () => {
    const last = truth.length - 1;
    const right = truth[last]?.ids[1] ?? -1;
    const source = changed((records) => {
      (records[last] as Record).input_ids[1] = right + 1;
    });
    const out = at('other-id');
    const { code, stderr } = await cliHere(importArgs(at('packed'), source, out));
    expect(code).toBe(1);
    expect(stderr).toContain(`line ${last + 1}: position 1: id ${right + 1}, but `);
    expect(stderr).toMatch(new RegExp(`part \\d+, row \\d+ has id ${right} there; records are to be`));
    const { findings, manifests } = await verifyFolder(storage, out);
    expect(findings).toEqual([]);
    expect(manifests).toBeGreaterThan(1);
    expect(manifests).toBe(
      filesBelow(at('packed')).filter((path) => path.endsWith('.manifest.json')).length - 1,
    );
  });

  it('a row that is missing, one too many, one of another length', async () => {
    expect(
      await refusal(
        importFrom(
          at('packed'),
          changed((records) => records.shift()),
          at('x1'),
        ),
      ),
    ).toMatchObject({
      code: expect.stringMatching(/ids-differ|lengths-differ/),
    });
    const short = await refusal(
      importFrom(
        at('packed'),
        changed((records) => records.pop()),
        at('x2'),
      ),
    );
    expect(short).toMatchObject({
      code: 'sources-end',
      message: expect.stringContaining('the sources end before it'),
    });
    const longer = changed((records) => {
      records[0]?.input_ids.push(9);
      records[0]?.losses.push(1);
    });
    expect(await refusal(importFrom(at('packed'), longer, at('x3')))).toMatchObject({
      code: 'lengths-differ',
      message: expect.stringMatching(/65 ids, but .*row 0 has 64 tokens/),
    });
    const extra = changed((records) => records.push({ input_ids: [1], losses: [null] }));
    const { code, stdout } = await cliHere(importArgs(at('packed'), extra, at('x4')));
    expect(code).toBe(3);
    expect(stdout).toContain("1 records of the sources lie beyond the run's last");
  });

  it('losses below 0 say what was meant; what rounding leaves is kept and counted', async () => {
    const negative = changed((records) => {
      for (const { losses } of records) for (const [i, loss] of losses.entries()) losses[i] = loss && -loss;
    });
    expect(await refusal(importFrom(at('packed'), negative, at('x5')))).toMatchObject({
      code: 'negative-loss',
      message: expect.stringContaining('--values logprobs'),
    });
    await importFrom(at('packed'), negative, at('x6'), { values: 'logprobs' });
    expect((await rowsOf(at('x6'))).map(({ columns }) => columns['reference_loss'])).toEqual(
      truth.map(({ columns }) => columns['reference_loss']),
    );
    const rounded = changed((records) => {
      (records[0] as Record).losses[2] = -1e-7;
    });
    expect(await importFrom(at('packed'), rounded, at('x7'))).toMatchObject({ negative: 1, excluded: 0 });
  });

  it('targets without a loss: refused, or excluded under every model, listed and counted', async () => {
    const source = changed((records) => {
      const { losses } = records[1] as Record;
      losses[4] = null;
      losses[5] = null;
      (records[1] as Record).losses = losses.slice(0, -1).concat(losses.slice(-1));
      // The last row's record ends early.
      const last = records.at(-1) as Record;
      last.input_ids.pop();
      last.losses.pop();
    });
    const refused = await refusal(importFrom(at('current'), source, at('x8')));
    expect(refused).toMatchObject({
      code: 'no-loss',
      message: expect.stringMatching(/position 4 .*--missing exclude/),
    });
    const out = at('x9');
    const { code, stdout } = await cliHere(importArgs(at('current'), source, out, '--missing', 'exclude'));
    expect(code).toBe(3);
    expect(stdout).toContain('targets without a loss were excluded in 2 parts (3 of the parts made now)');
    const rows = await rowsOf(out);
    for (const column of ['reference_loss', 'current_loss']) {
      expect(rows[1]?.columns[column]?.slice(4, 6)).toEqual([Number.NaN, Number.NaN]);
    }
    expect(rows[1]?.columns['current_loss']?.slice(6)).toEqual(truth[1]?.columns['current_loss']?.slice(6));
    const [list = ''] = filesBelow(out).filter((path) => path.endsWith('.quarantine.jsonl'));
    expect(JSON.parse(readFileSync(list, 'utf8'))).toMatchObject({
      reason: 'no-loss',
      per: 'row',
      row: 1,
      position: 4,
      tokens: 2,
    });
    expect((await verifyFolder(storage, out)).findings).toEqual([]);
    const targets = (all: readonly Row[]): number =>
      all.flatMap(({ columns }) => columns['current_loss'] ?? []).filter((loss) => !Number.isNaN(loss))
        .length;
    expect(targets(rows)).toBe(targets(truth) - 3);
  });

  it('files of a pattern are taken as they are numbered', async () => {
    const rows = truth.map(recordOf);
    const name = at('numbered');
    mkdirSync(name);
    for (const [i, row] of rows.entries())
      writeFileSync(join(name, `scores_${i}.jsonl`), `${JSON.stringify(row)}\n`);
    expect(rows.length).toBeGreaterThan(10);
    await importFrom(at('packed'), join(name, 'scores_*.jsonl'), at('numbered-out'));
    expect((await rowsOf(at('numbered-out'))).map(({ columns }) => columns['reference_loss'])).toEqual(
      truth.map(({ columns }) => columns['reference_loss']),
    );
  });

  it('a 0 for the first token of a record, which follows nothing, is no loss', async () => {
    // Rows begin with BOS, so that their second token is a target; these records begin there.
    const source = write(
      truth.map(recordOf).map(({ input_ids, losses }) => ({
        input_ids: input_ids.slice(1),
        losses: [0, ...losses.slice(2)],
      })),
    );
    expect(truth.some(({ columns }) => !Number.isNaN(columns['reference_loss']?.[1]))).toBe(true);
    expect(await refusal(importFrom(at('packed'), source, at('zero')))).toMatchObject({ code: 'no-loss' });
  });

  it('a run may be given its losses itself, and go on so', async () => {
    await packCorpus(
      parsePack(
        {
          shards: [join(at('corpus'), '**/*.{parquet,jsonl.gz}')],
          ...{ corpus: { part_bytes: 4096, limit: 6 }, sequence: { length: 64 } },
          ...{ tokenizer: { path: inputs.reference }, out: at('own') },
        },
        'test',
      ),
      { storage, sink: () => undefined, signal: new AbortController().signal, replace: false },
    );
    const source = write([...truth.map(recordOf), { input_ids: [1], losses: [null] }]);
    expect(await importFrom(at('own'), source, at('own'))).toMatchObject({ resumed: 0, leftOver: 1 });
    const { parts } = await importFrom(at('own'), source, at('own'));
    // What is left over is told again.
    expect(await importFrom(at('own'), source, at('own'))).toMatchObject({ resumed: parts, leftOver: 1 });
  });

  it('an unfinished run is told of, in import and in selection', async () => {
    const source = write(truth.map(recordOf));
    const warnings = async (work: (options: ImportOptions) => Promise<unknown>): Promise<string[]> => {
      const said: string[] = [];
      const sink: EventSink = (event) => {
        if (event.event === 'warning') said.push(event.message);
      };
      await work({ storage, sink, signal: new AbortController().signal, replace: false });
      return said;
    };
    for (const kind of ['packed', 'scored'] as const) {
      const run = at(`unfinished-${kind}`);
      cpSync(at(kind === 'packed' ? 'packed' : 'both'), run, { recursive: true });
      const imported = (out: string): Promise<string[]> =>
        warnings((options) =>
          importScores(
            parseImport(
              { run, losses: [source], out: at(`${kind}-${out}`), model_name: 'elsewhere' },
              'test',
            ),
            options,
          ),
        );
      expect(await imported('finished')).toEqual([]);
      const last = filesBelow(join(run, kind)).findLast((path) => path.endsWith('.manifest.json')) ?? '';
      expect(last).toContain('.parquet/');
      rmSync(last);
      expect(await imported('data')).toEqual([
        expect.stringMatching(/1 part\(s\) have data but no manifest/),
      ]);
      // As after a stop between two parts: nothing but the plan tells.
      rmSync(last.replace('.manifest.json', '.arrow'));
      const planned = [
        expect.stringMatching(/1 planned part\(s\) are not finished and are left out; .*finish the run/),
      ];
      expect(await imported('planned')).toEqual(planned);
      if (kind === 'packed') continue;
      const settings = parseSettings(selectionSettings, { method: 'slm', keep: 0.6 }, 'test');
      expect(
        await warnings((options) => selectRun(run, at('unfinished-weighted'), settings, options)),
      ).toEqual(planned);
    }
  });

  it('a run that is no target, and an output folder that is the input', async () => {
    const source = write(truth.map(recordOf));
    expect(await refusal(importFrom(at('nowhere'), source, at('x10')))).toMatchObject({
      code: 'nothing-to-import-into',
    });
    expect(await refusal(importFrom(at('both'), source, at('both')))).toMatchObject({ code: 'out-is-input' });
    const { code, stderr } = await cliHere(importArgs(at('packed'), at('*.none'), at('x11')));
    expect(code, stderr).toBe(2);
  });
});

describe('stopped and started again', () => {
  it('killed between parts and within one, it ends with the bytes of an undisturbed import', async () => {
    const source = write(truth.map(recordOf));
    const clean = at('clean');
    await importFrom(at('packed'), source, clean);
    const expected = digestFolder(clean);
    const out = at('killed');
    const landed: string[] = [];
    for (const event of ['part-started', 'data-committed', 'part-done', 'part-started']) {
      const running = startCli(importArgs(at('packed'), source, out), {
        onLine: (line) => {
          if (line.includes(`"event":"${event}"`)) running.child.kill('SIGKILL');
        },
      });
      const { signal } = await running.outcome;
      if (signal !== null) landed.push(event);
    }
    expect(landed.length).toBeGreaterThan(2);
    const { code, stdout } = await runCli(importArgs(at('packed'), source, out));
    expect(code).toBe(0);
    expect(stdout).toMatch(/of the parts were done before/);
    expect(digestFolder(out)).toEqual(expected);
  });

  it('by documents too: records of parts that are done are passed over', async () => {
    for (const packing of ['packed', 'document'] as const) {
      const run = at(`formula-${packing}`);
      await writeRun(run, packing);
      const source = fileURLToPath(new URL('../../fixtures/import/documents.parquet', import.meta.url));
      const out = at(`by-document-${packing}`);
      await importFrom(run, source, out, { per: 'document' });
      const expected = digestFolder(out);
      rmSync(join(out, 'scored/a/web.parquet/00001.manifest.json'));
      expect(await importFrom(run, source, out, { per: 'document' })).toMatchObject({
        resumed: 1,
        leftOver: 0,
      });
      expect(digestFolder(out)).toEqual(expected);
      rmSync(join(out, 'scored/a/web.parquet/00000.arrow'));
      expect(await importFrom(run, source, out, { per: 'document' })).toMatchObject({
        resumed: 1,
        damaged: 1,
      });
      expect(digestFolder(out)).toEqual(expected);
    }
  });

  it('changed sources and settings are refused, and redone with --replace', async () => {
    const source = write(truth.map(recordOf));
    const out = at('stale');
    await importFrom(at('packed'), source, out);
    expect(await importFrom(at('packed'), source, out)).toMatchObject({ leftOver: 0 });
    appendFileSync(source, '\n');
    expect(await refusal(importFrom(at('packed'), source, out))).toMatchObject({
      code: 'stale-parts',
      message: expect.stringContaining('import.sources'),
    });
    expect(await importFrom(at('packed'), source, out, {}, true)).toMatchObject({ resumed: 0 });
  });

  it('a source that changes under way is noticed, though its size stays', async () => {
    const source = write(truth.map(recordOf));
    const settings = { run: at('packed'), losses: [source], out: at('changing'), model_name: 'elsewhere' };
    let changes = 0;
    const running = importScores(parseImport(settings, 'test'), {
      storage,
      sink: ({ event }) => {
        if (event === 'part-started' && changes++ === 0) writeFileSync(source, readFileSync(source));
      },
      signal: new AbortController().signal,
      replace: false,
    });
    expect(await refusal(running)).toMatchObject({ code: 'source-changed' });
    expect(changes).toBe(1);
    // The part at hand was not made: no manifest names a source that was not what was read.
    expect(filesBelow(at('changing')).filter((path) => path.endsWith('.manifest.json'))).toEqual([]);
  });
});

describe('memory', () => {
  it('does not grow with the source: 80 MB more of it take less than a third of that', async () => {
    const peak = (documents: number): number => {
      const name = `large-${documents}`;
      const length = 4000;
      const source = at(`${name}.jsonl`);
      mkdirSync(folder, { recursive: true });
      if (!existsSync(source)) writeFileSync(source, '');
      for (let document = 0; document < documents; document++) {
        const ids = [1, ...Array.from({ length }, (_, i) => idOf(document, i)), 2];
        const entries = ids.map((id, i) =>
          i === 0
            ? null
            : Object.fromEntries(
                [id, 600, 601, 602, 603].map((one) => [
                  one,
                  { logprob: -1.5, rank: 1, decoded_token: 'word' },
                ]),
              ),
        );
        appendFileSync(source, `${JSON.stringify({ prompt_token_ids: ids, prompt_logprobs: entries })}\n`);
      }
      const script = `
        import { importScores } from '${new URL('../../dist/import/import-run.js', import.meta.url).href}';
        import { parseImport } from '${new URL('../../dist/import/settings.js', import.meta.url).href}';
        import { localStorage } from '${new URL('../../dist/storage/local.js', import.meta.url).href}';
        const settings = parseImport({ run: '${at(name)}', losses: ['${source}'], out: '${at(`${name}-out`)}', model_name: 'm', per: 'document' }, 'test');
        const report = await importScores(settings, { storage: localStorage(), sink: () => {}, signal: new AbortController().signal, replace: false });
        console.log(JSON.stringify({ mb: process.resourceUsage().maxRSS / 1024, eligible: report.eligible }));`;
      // Generations of fixed sizes: how far V8 lets them grow before it collects says nothing of the import.
      const sizes = ['--max-semi-space-size=1', '--max-old-space-size=48'];
      const flags = [...sizes, '--input-type=module', '-e', script];
      const printed = execFileSync(process.execPath, flags, {
        encoding: 'utf8',
      });
      const { mb, eligible } = JSON.parse(printed) as { mb: number; eligible: number };
      expect(eligible).toBeGreaterThanOrEqual(documents * length);
      return mb;
    };
    const rules = {
      length: 512,
      packing: 'packed',
      attention: 'across',
      overlap: 1,
      bosId: 1,
      eosId: 2,
    } as const;
    for (const documents of [20, 100]) {
      const parts = [Array.from({ length: documents }, () => 4000)];
      await writeCorpus(at(`large-${documents}`), { parts, kind: 'packed', weight: () => 1, rules });
    }
    const [small, large] = [peak(20), peak(100)];
    console.log(`peak memory: ${small.toFixed(0)} MB for 20 documents, ${large.toFixed(0)} MB for 100`);
    const [less, more] = [20, 100].map(
      (documents) => statSync(at(`large-${documents}.jsonl`)).size / 2 ** 20,
    );
    const grown = (more ?? 0) - (less ?? 0);
    expect(grown).toBeGreaterThan(80);
    expect(large - small).toBeLessThan(grown / 3);
  });
});
