/** Run folders with a file or two changed: verified, audited, inspected, selected from, trained on, compared. */
import { join } from 'node:path';
import { auditRun } from '#tokensieve/audit/audit-run.js';
import { auditSettings } from '#tokensieve/audit/settings.js';
import { diffRuns } from '#tokensieve/dataset/diff.js';
import { verifyFolder } from '#tokensieve/dataset/verify.js';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { openTrainingData, startOf } from '#tokensieve/train/data/open.js';
import { changeArrow } from '../arrow-changes.mjs';
import { change } from '../bytes.mjs';
import { changeJson } from '../json.mjs';
import { runFiles } from '../run-folder.mjs';
import { resultOf } from '../support.mjs';

export const name = 'run';
const storage = localStorage();

export async function make(draw) {
  const files = await runFiles(draw.pick(['none', 'zstd']), draw.pick(['fp32', 'fp16']));
  const names = Object.keys(files);
  for (let i = draw.small(3); i >= 0; i--) {
    const file = draw.pick(names);
    if (file.endsWith('.arrow') && draw.chance(0.6))
      files[file] = changeArrow(draw, files[file], files[draw.pick(names)]);
    else {
      const manifest = draw.pick(names.filter((each) => each.endsWith('.json')));
      try {
        files[manifest] = Buffer.from(
          changeJson(draw, JSON.parse(String(files[manifest])), draw.small(4) + 1),
        );
      } catch {
        files[manifest] = change(draw, files[manifest]);
      }
    }
  }
  if (draw.chance(0.2)) {
    // Another place for a part, with a name that fits it.
    const from = draw.pick(names.filter((each) => each.startsWith('scored/')));
    const to = draw.pick([
      'scored/../weighted',
      'scored/..',
      'scored/web/../web/x.parquet',
      'scored/a/./b',
      'other',
      'scored/ ',
      'scored/\u202e',
      'scored/__proto__',
    ]);
    for (const each of names.filter((other) => other.startsWith(from.slice(0, from.lastIndexOf('/')))))
      files[join('moved', to, each.split('/').at(-1))] = files[each];
  }
  if (draw.chance(0.2)) {
    const shard = draw.pick([
      '../scored/web/x.parquet',
      'web/../web/x.parquet',
      './web/x.parquet',
      'web//x.parquet',
      'web/x.parquet/',
      '/web/x.parquet',
      '../../outside/x',
      'web/x.parquet/..',
      '\\..\\x',
    ]);
    for (const each of names.filter(
      (other) => other.startsWith('scored/') && other.endsWith('.manifest.json'),
    )) {
      try {
        files[each] = Buffer.from(JSON.stringify({ ...JSON.parse(String(files[each])), shard }));
      } catch {}
    }
  }
  if (draw.chance(0.3))
    files['run.json'] = Buffer.from(
      changeJson(
        draw,
        {
          version: 1,
          shards: ['shards/*.parquet', draw.pick(draw.paths)],
          tokenizer: 'tok',
          models: [
            {
              role: 'reference',
              folder: 'm',
              hash: 'b'.repeat(64),
              architecture: 'x',
              parameters: 1,
              weight_type: 'F32',
              flops_per_token: 1,
            },
          ],
        },
        draw.small(3),
      ),
    );
  return { files, what: draw.below(6) };
}

export async function run(folder, { what }) {
  const signal = AbortSignal.timeout(100_000);
  const outcomes = [(await resultOf(() => verifyFolder(storage, folder))).outcome];
  outcomes.push((await resultOf(() => inspect(folder, { storage, cacheFolder: null }))).outcome);
  outcomes.push(
    `audit ${(await resultOf(() => auditRun(auditSettings.parse({ run: folder }), { storage, sink: () => undefined, signal }))).outcome}`,
  );
  if (what < 2) {
    const settings = selectionSettings.parse({ method: what === 0 ? 'slm' : 'random', keep: 0.5 });
    outcomes.push(
      `select ${(await resultOf(() => selectRun(folder, join(folder, 'deep/er/weighted'), settings, { storage, sink: () => undefined, signal, replace: false }))).outcome}`,
    );
  } else if (what < 5) {
    const path = join(folder, what === 2 ? 'scored' : 'weighted');
    const trained = await resultOf(async () => {
      const data = await openTrainingData(
        storage,
        { sources: [{ path, ratio: 1 }], seed: 1, shuffle_tokens: what === 3 ? 0 : 100 },
        { rows: 2, accumulate: 1 },
      );
      let steps = 0;
      for await (const { batch } of data.steps(startOf(data.description))) {
        if (batch.ids.length > 2 ** 22) throw new Error(`a batch of ${batch.ids.length} ids`);
        if (++steps >= 6) break;
      }
      return steps;
    });
    outcomes.push(`train ${trained.outcome}`);
  } else
    outcomes.push(
      `diff ${(await resultOf(() => diffRuns({ storage, folder: join(folder, 'scored') }, { storage, folder: join(folder, 'weighted') }))).outcome}`,
    );
  return outcomes;
}
