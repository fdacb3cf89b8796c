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
    .filter((name) => name.endsWith('.json') && name !== 'overlap.json')
    .map((name) => JSON.parse(readFileSync(join(here, 'results', name), 'utf8')))
    .map((result) => [result.name, result]),
);
const sets = ['clean', 'gsm8k', 'noisy'];
const start = results.get('base')?.curve.at(-1)?.held_out;

/** An arm's held-out curve, from the model it starts from. */
function curveOf(name, set) {
  const result = results.get(name);
  if (result === undefined) return null;
  const from = /\/reference\/model$/.test(result.settings.model.start ?? '')
    ? results.get('reference')?.curve.at(-1)?.held_out
    : start;
  const points = result.curve.map(({ step, tokens, held_out }) => ({ step, tokens, loss: held_out[set] }));
  return from === undefined ? points : [{ step: 0, tokens: 0, loss: from[set] }, ...points];
}

const seeds = (name) => [1, 2, 3].map((seed) => `${name}-seed-${seed}`).filter((arm) => results.has(arm));
const fixed = (value) => value.toFixed(3);
const spread = ({ mean, deviation }) =>
  deviation === null ? fixed(mean) : `${fixed(mean)} ± ${fixed(deviation)}`;
const last = (name, set) => curveOf(name, set)?.at(-1)?.loss ?? null;
const rows = [];
const row = (...cells) => rows.push(`| ${cells.join(' | ')} |`);
const text = [];
const table = (head) => {
  text.push(`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...rows.splice(0), '');
};

text.push('Held-out loss at the end, nats a token (mean ± sample standard deviation over seeds):', '');
const line = (label, names) => {
  if (names.length === 0 || names.some((name) => !results.has(name))) return;
  row(label, ...sets.map((set) => spread(spreadOf(names.map((name) => last(name, set))))), names.length);
};
if (results.has('base')) line('base, where the arms start', ['base']);
if (results.has('reference')) line('reference', ['reference']);
line('CLM', seeds('clm'));
line('SLM live, keep 0.6', seeds('slm'));
for (const name of results.keys()) {
  if (!/-seed-|^base$|^reference$/.test(name)) line(name, [name]);
}
table(['model', ...sets, 'runs']);

const paired = (arm, baseline, label) => {
  for (const set of sets) {
    const curves = arm.map((name) => curveOf(name, set));
    const others = baseline.map((name) => curveOf(name, set));
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
  if (results.has(name) && results.has('clm-seed-1')) paired([name], ['clm-seed-1'], `${name} − CLM`);
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
for (const set of sets) {
  const series = [...seeds('clm'), ...seeds('slm')].map((name) => ({
    name: name.replace('-seed-', ' '),
    points: curveOf(name, set).map(({ tokens, loss }) => ({ x: tokens, y: loss })),
    colour: name.startsWith('clm') ? 0 : 1,
    dash: Number(name.at(-1)) - 1,
  }));
  if (series.length === 0) continue;
  const svg = linePlot({
    title: `Held-out loss, ${set}`,
    x: { label: 'tokens trained on' },
    y: { label: 'nats a token' },
    series,
    width: 640,
    height: 360,
  });
  writeFileSync(join(here, 'figures', `${set}.svg`), svg);
}
console.log(text.join('\n'));
