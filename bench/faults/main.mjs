/**
 * Faults of processes, for real: workers and the coordinator killed at random, Redis killed, a worker frozen or cut off
 * past its lease. After each run its files are compared with a clean run of one process.
 *
 *   node bench/faults/main.mjs [--kills 200] [--redis-kills 20] [--times 5] [--seed 1] [--only kills,redis,…] [--log FILE]
 *
 * Needs redis-server; the network namespaces need root and `ip`. Ends with a table, and with 1 when a number in it that
 * should be 0 is not.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cutOffWorkers, frozenWorkers, slowPath } from './frozen.mjs';
import { randomKills } from './kills.mjs';
import { redisKills } from './redis-kills.mjs';
import { lookAt, makeInputs, randomFrom, removeFolder, start } from './support.mjs';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    'redis-kills': { type: 'string', default: '20' },
    times: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: 'kills,redis,frozen,network,slow' },
    log: { type: 'string' },
  },
});
const only = values.only.split(',');
const began = Date.now();
const log = (record) => {
  const line = JSON.stringify({ seconds: Math.round((Date.now() - began) / 1000), ...record });
  console.log(line);
  if (values.log !== undefined) appendFileSync(values.log, `${line}\n`);
};

const folder = mkdtempSync(join(tmpdir(), 'tokensieve-faults-'));
try {
  const pipeline = await makeInputs(folder);
  const { file, out } = pipeline('clean');
  const { code, errors } = await start(['run', file], {}).over;
  if (code !== 3) throw new Error(`the clean run ended with ${code}: ${errors}`);
  const clean = lookAt(out);
  log({ clean: clean.counts, files: Object.keys(clean.files).length });
  const random = randomFrom(Number(values.seed));
  const shared = { pipeline, clean, folder, random, log };
  const redisCount = Number(values['redis-kills']);
  const count = Number(values.times);
  const canNetwork = process.getuid?.() === 0 && spawnSync('ip', ['netns', 'list']).status === 0;
  if (!canNetwork && only.includes('network'))
    console.log('skipped: no network namespaces here (root and ip)');
  const records = [
    ...(only.includes('kills') ? await randomKills({ ...shared, count: Number(values.kills) }) : []),
    ...(only.includes('redis')
      ? await redisKills({ ...shared, count: Math.ceil(redisCount / 2), persistent: true })
      : []),
    ...(only.includes('redis')
      ? await redisKills({ ...shared, count: Math.floor(redisCount / 2), persistent: false })
      : []),
    ...(only.includes('frozen') ? await frozenWorkers({ ...shared, count }) : []),
    ...(only.includes('network') && canNetwork ? await cutOffWorkers({ ...shared, count }) : []),
    ...(only.includes('slow')
      ? await slowPath({ ...shared, count: Math.max(1, Math.floor(count / 2)) })
      : []),
  ];
  process.exitCode = report(records) ? 0 : 1;
} finally {
  removeFolder(folder);
}

/** Prints the table; true when everything in it is as it should be. */
function report(records) {
  const rows = new Map();
  for (const { fault, times, lost, duplicated, wrong, landings = {} } of records) {
    const row = rows.get(fault) ?? { runs: 0, times: 0, lost: 0, duplicated: 0, wrong: 0, landings: {} };
    row.runs++;
    row.times += times;
    row.lost += lost;
    row.duplicated += duplicated;
    row.wrong += wrong;
    for (const [where, number] of Object.entries(landings))
      row.landings[where] = (row.landings[where] ?? 0) + number;
    rows.set(fault, row);
  }
  console.log('\n| fault | runs | times | lost | duplicated | wrong |\n|---|---|---|---|---|---|');
  let sound = rows.size > 0;
  for (const [fault, { runs, times, lost, duplicated, wrong, landings }] of rows) {
    console.log(`| ${fault} | ${runs} | ${times} | ${lost} | ${duplicated} | ${wrong} |`);
    if (Object.keys(landings).length > 0) console.log(`landed: ${JSON.stringify(landings)}`);
    sound &&= lost + duplicated + wrong === 0;
  }
  return sound;
}
