/**
 * Tables and figures of the study, from the results that are there: studies/mathweb/results.md and figures/*.svg.
 *
 *   npm run build && node studies/mathweb/report.mjs
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { linePlot } from '../../dist/plot/line-plot.js';
import { compareArms, spreadOf, tokensToReach } from '../../dist/report/curves.js';

const here = import.meta.dirname;
const results = new Map(
  readdirSync(join(here, 'results'))
    .filter((name) => name.endsWith('.json') && !['overlap.json', 'dynamics.json'].includes(name))
    .map((name) => [name.replace('.json', ''), JSON.parse(readFileSync(join(here, 'results', name), 'utf8'))]),
);
const sets = ['clean', 'gsm8k', 'noisy'];

/** Seeds 1 and 2 start from the first base model: the second was trained anew, on another processor. */
function startOf(name, { settings }) {
  const first = /-seed-[12]$/.test(name) ? '-first' : '';
  const kind = /(^|\/)reference\/model$/.test(settings.model.start ?? '') ? 'reference' : 'base';
  return results.get(`${kind}${first}`)?.curve.at(-1)?.held_out;
}

/** An arm's held-out curve, from the model it starts from, up to a step. */
function curveOf(name, set, upTo = Number.POSITIVE_INFINITY) {
  const result = results.get(name);
  if (result === undefined) return null;
  const from = startOf(name, result);
  const points = result.curve
    .filter(({ step }) => step <= upTo)
    .map(({ step, tokens, held_out }) => ({ step, tokens, loss: held_out[set] }));
  return from === undefined ? points : [{ step: 0, tokens: 0, loss: from[set] }, ...points];
}

const seeds = (name) => [1, 2, 3].map((seed) => `${name}-seed-${seed}`).filter((arm) => results.has(arm));
const fixed = (value) => value.toFixed(3);
const spread = ({ mean, deviation }) =>
  deviation === null ? fixed(mean) : `${fixed(mean)} ± ${fixed(deviation)}`;
const last = (name, set, upTo) => curveOf(name, set, upTo)?.at(-1)?.loss ?? null;
const rows = [];
const row = (...cells) => rows.push(`| ${cells.join(' | ')} |`);
const text = [];
const table = (head) => {
  text.push(`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...rows.splice(0), '');
};

text.push('Held-out loss at the end, nats a token (mean ± sample standard deviation over seeds):', '');
const line = (label, names, upTo) => {
  if (names.length === 0 || names.some((name) => !results.has(name))) return;
  const points = names.map((name) => results.get(name).curve.filter(({ step }) => step <= (upTo ?? step)).at(-1));
  const tokens = `${(points[0].tokens / 1e6).toFixed(2)}M`;
  row(label, tokens, ...sets.map((set) => spread(spreadOf(names.map((name) => last(name, set, upTo))))), names.length);
};
const bases = (kind) => [kind, `${kind}-first`].filter((name) => results.has(name));
line('base, where the arms start', bases('base'));
line('reference', bases('reference'));
line('CLM', seeds('clm'));
line('SLM live, keep 0.6', seeds('slm'));
/** Steps of the arms that are run once, and the run that shares their base, rows and order. */
const once = 118;
const beside = (kind) => `${kind}-seed-3`;
line('CLM, seed 3, at the length of the arms below', [beside('clm')], once);
line('SLM live, keep 0.6, seed 3, likewise', [beside('slm')], once);
for (const name of results.keys()) {
  if (!/-seed-|^base|^reference(-first)?$/.test(name)) line(name, [name]);
}
table(['model', 'tokens', ...sets, 'runs']);

const paired = (arm, baseline, label, upTo) => {
  for (const set of sets) {
    const curves = arm.map((name) => curveOf(name, set, upTo));
    const others = baseline.map((name) => curveOf(name, set, upTo));
    if (curves.length === 0 || [...curves, ...others].some((curve) => curve === null)) continue;
    const found = compareArms(others, curves);
    if (found === null) continue;
    const ratio = found.ratio === null ? `not reached` : `${found.ratio.mean.toFixed(2)} (${found.ratio.low.toFixed(2)} to ${found.ratio.high.toFixed(2)})`;
    row(label, set, spread(found.difference), `${found.ahead} of ${curves.length}`, ratio);
  }
};
const both = seeds('slm').filter((name) => results.has(name.replace('slm', 'clm')));
paired(both, both.map((name) => name.replace('slm', 'clm')), 'SLM − CLM');
for (const name of ['slm-frozen', 'random', 'reference-loss', 'slm-keep-0.4', 'slm-keep-0.8']) {
  if (results.has(name) && results.has(beside('clm'))) paired([name], [beside('clm')], `${name} − CLM`, once);
}
for (const kind of ['with-clean', 'from-reference']) {
  if (results.has(`slm-${kind}`) && results.has(`clm-${kind}`)) {
    paired([`slm-${kind}`], [`clm-${kind}`], `SLM − CLM, ${kind.replace('-', ' ')}`);
  }
}
text.push(
  'Pair by pair at equal tokens: the difference of last losses, pairs in which the first is ahead, and CLM’s tokens over the',
  'tokens that the first takes to CLM’s last loss:',
  '',
);
table(['pair', 'held out', 'difference, nats', 'ahead', 'tokens-to-baseline ratio']);

// FLOPs: 6·N a trained token, 2·N a scored one; SLM pays for its reference's training and for scoring its corpus.
const parameters = 3_443_136;
const trained = (name) => results.get(name)?.curve.at(-1)?.tokens ?? 0;
if (both.length > 0) {
  const own = trained(both[0]);
  const reference = trained('reference');
  const counts = both.flatMap((name) => {
    const baseline = curveOf(name.replace('slm', 'clm'), 'clean');
    return tokensToReach(curveOf(name, 'clean'), baseline.at(-1).loss) ?? [];
  });
  if (counts.length > 0) {
    const { mean } = spreadOf(counts);
    const flops = (tokens, factor) => factor * parameters * tokens;
    const alone = flops(mean, 6) / flops(own, 6);
    const whole = (flops(mean, 6) + flops(mean, 2) + flops(reference, 6)) / flops(own, 6);
    text.push(
      `FLOPs to CLM’s last loss on clean text, CLM = 1: ${alone.toFixed(2)} for SLM’s own steps; ${whole.toFixed(2)} with scoring what it`,
      `trains on (2·N a token) and the reference’s training (${(reference / 1e6).toFixed(1)}M tokens) counted in.`,
      '',
    );
  }
}
const overlap = join(here, 'results', 'overlap.json');
if (existsSync(overlap)) {
  for (const [name, shares] of Object.entries(JSON.parse(readFileSync(overlap, 'utf8')))) {
    const percent = (share) => `${(100 * share).toFixed(2)}%`;
    row(name, shares.runs_of_13_words, ...['clean', 'base', 'arms'].map((of) => percent(shares[`in_${of}`])));
  }
  text.push('Runs of 13 words of each held-out set that a training corpus has word for word:', '');
  table(['held out', 'runs', 'in the clean corpus (reference)', 'in the base’s', 'in the arms’']);
}
writeFileSync(join(here, 'results.md'), `${text.join('\n').trim()}\n`);

mkdirSync(join(here, 'figures'), { recursive: true });

/** @param {string} file @param {string} title @param {string} set @param {{ name: string, label: string, colour: number, dash: number }[]} lines */
function figure(file, title, set, lines) {
  const series = lines
    .filter(({ name }) => results.has(name))
    .map(({ name, label, colour, dash }) => ({
      name: label,
      points: curveOf(name, set).map(({ tokens, loss }) => [tokens, loss]),
      colour,
      dash,
    }));
  if (series.length === 0) return;
  const axes = { x: { label: 'tokens trained on' }, y: { label: 'nats a token' } };
  const svg = linePlot({ title, ...axes, series, width: 640, height: 360 });
  writeFileSync(join(here, 'figures', `${file}.svg`), svg);
}

const pair = (suffix, dash, label) => [
  { name: `clm-${suffix}`, label: `CLM ${label}`, colour: 0, dash },
  { name: `slm-${suffix}`, label: `SLM ${label}`, colour: 1, dash },
];
for (const set of sets) {
  figure(set, `Held-out loss, ${set}`, set, [1, 2, 3].flatMap((seed) => pair(`seed-${seed}`, seed - 1, seed)));
}
figure('controls', 'Held-out loss, clean: the controls', 'clean', [
  ...pair('seed-3', 0, ''),
  ...pair('with-clean', 1, 'with clean tokens'),
  ...pair('from-reference', 2, 'from the reference'),
]);
figure('selections', 'Held-out loss, clean: ways to select', 'clean', [
  { name: beside('clm'), label: 'all tokens', colour: 0, dash: 0 },
  { name: beside('slm'), label: 'live, 0.6', colour: 1, dash: 0 },
  { name: 'slm-frozen', label: 'frozen, 0.6', colour: 2, dash: 1 },
  { name: 'reference-loss', label: 'low reference loss', colour: 4, dash: 3 },
  { name: 'random', label: 'random 0.6', colour: 3, dash: 2 },
  { name: 'slm-keep-0.4', label: 'live, 0.4', colour: 1, dash: 1 },
  { name: 'slm-keep-0.8', label: 'live, 0.8', colour: 1, dash: 2 },
]);
console.log(text.join('\n'));
