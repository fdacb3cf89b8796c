/**
 * Does a suite of tests notice what another did? Draws changes of the compiled package by a seed and runs, for each, the
 * tests related to the changed file until one fails.
 *
 *   node bench/mutants/main.mjs --tree ../base --out old.jsonl      the suite as it was: a built checkout of its own
 *   node bench/mutants/main.mjs --tree . --out new.jsonl            the suite as it is
 *   node bench/mutants/main.mjs --compare old.jsonl new.jsonl       killed before and after
 *
 * [--count 60] [--seed 1] [--rooms score,select,run,train,export] [--limit N] [--minutes 30]
 *
 * A line of JSON a mutant; a run that was stopped goes on where it was. Both trees must hold the same compiled package:
 * the lines carry its digest. The changed file is put back at the end, on a signal too, and by the next run after a
 * SIGKILL. Takes hours: let the machine have nothing else to do. CPU time of a mutant is bounded by --minutes a phase.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { relatedTests } from '../../scripts/related-tests.mjs';
import { drawn, sitesOf } from './sites.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tree: { type: 'string', default: '.' },
    out: { type: 'string', default: 'mutants.jsonl' },
    count: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    limit: { type: 'string', default: '60' },
    minutes: { type: 'string', default: '30' },
    rooms: { type: 'string', default: 'score,select,run,train,export' },
    compare: { type: 'boolean', default: false },
  },
});

if (values.compare) process.exitCode = compare(...positionals.map(linesOf)) ? 0 : 1;
else await runAll(resolve(values.tree));

function linesOf(path) {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

async function runAll(tree) {
  // What a SIGKILL left changed, before anything is read.
  const kept = join(tree, 'node_modules/.mutant.json');
  const restore = () => {
    if (!existsSync(kept)) return;
    const { file, code } = JSON.parse(readFileSync(kept, 'utf8'));
    writeFileSync(join(tree, file), code);
    rmSync(kept);
  };
  restore();
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.on(signal, () => {
      restore();
      process.exit(130);
    });
  const rooms = values.rooms.split(',');
  const sites = sitesOf(tree, rooms);
  const digest = createHash('sha256').update(JSON.stringify(sites)).digest('hex').slice(0, 16);
  const related = relatedTests(tree);
  const done = linesOf(values.out);
  if (done.some((line) => line.digest !== digest))
    throw new Error(`${values.out} is of another compiled package: name another file with --out`);
  const mutants = drawn(sites, Number(values.count), Number(values.seed));
  console.log(`${sites.length} sites in ${rooms.join(', ')} (${digest}); ${mutants.length} drawn`);
  let left = Number(values.limit);
  for (const mutant of mutants) {
    if (done.some(({ id }) => id === mutant.id) || left-- <= 0) continue;
    const path = join(tree, mutant.file);
    const code = readFileSync(path, 'utf8');
    writeFileSync(kept, JSON.stringify({ file: mutant.file, code }));
    let outcome;
    try {
      writeFileSync(path, code.slice(0, mutant.start) + mutant.after + code.slice(mutant.end));
      outcome = await tried(tree, related(mutant.file));
    } finally {
      restore();
    }
    const { start: _, end: __, ...told } = mutant;
    const line = JSON.stringify({ ...told, ...outcome, digest });
    appendFileSync(values.out, `${line}\n`);
    console.log(line);
  }
}

/** The nearest tests first, each phase until a test fails. */
async function tried(tree, tests) {
  const began = Date.now();
  const seconds = () => Math.round((Date.now() - began) / 1000);
  for (const near of [0, 1, 2]) {
    const files = tests.filter((test) => test.near === near).map(({ path }) => path);
    if (files.length === 0) continue;
    const by = await firstFailure(tree, files);
    // Of tests that did not end nothing is known: `null`.
    if (by !== null)
      return { killed: by === 'time' ? null : true, by, near, seconds: seconds(), related: tests.length };
  }
  return { killed: false, by: null, near: null, seconds: seconds(), related: tests.length };
}

/** The test that failed first, `time` when they did not end, null when all passed. */
async function firstFailure(tree, files) {
  const report = join(tmpdir(), `tokensieve-mutant-${process.pid}.json`);
  rmSync(report, { force: true });
  const args = ['vitest', 'run', '--bail', '1', '--reporter', 'json', '--outputFile', report, ...files];
  const child = spawn('npx', args, { cwd: tree, stdio: 'ignore', detached: true });
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    process.kill(-child.pid, 'SIGKILL');
  }, Number(values.minutes) * 60_000);
  const code = await new Promise((resolve) => child.on('close', resolve));
  clearTimeout(limit);
  if (late) return 'time';
  if (code === 0) return null;
  if (!existsSync(report)) return 'the runner';
  const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
  const failed = testResults.find(({ status }) => status === 'failed');
  const one = failed?.assertionResults.find(({ status }) => status === 'failed');
  const name = failed?.name.slice(failed.name.indexOf('/test/') + 1);
  return failed === undefined ? 'the runner' : `${name}${one === undefined ? '' : ` > ${one.fullName}`}`;
}

/** Prints both columns; true when the new suite kills every mutant that the old one does. */
function compare(old, recent) {
  const rows = old.flatMap((before) => {
    const after = recent.find(({ id }) => id === before.id);
    return after === undefined ? [] : [{ before, after }];
  });
  if (rows.some(({ before, after }) => before.digest !== after.digest))
    throw new Error('the two files are of different compiled packages');
  const told = ({ killed, by }) =>
    killed === null ? '**no end**' : killed ? by.split(' > ')[0] : '**lives**';
  console.log('| mutant | change | before | after |\n|---|---|---|---|');
  for (const { before, after } of rows) {
    const change = `${before.before} → ${before.after}`
      .replaceAll('|', '\\|')
      .replaceAll(/\s+/g, ' ')
      .slice(0, 60);
    console.log(`| ${before.file}:${before.line} | \`${change}\` | ${told(before)} | ${told(after)} |`);
  }
  const count = (column) => rows.filter((row) => row[column].killed).length;
  const lost = rows.filter(({ before, after }) => before.killed && !after.killed);
  console.log(
    `\n${rows.length} mutants in both: ${count('before')} killed before, ${count('after')} after, ${lost.length} lost`,
  );
  return lost.length === 0 && rows.length > 0;
}
