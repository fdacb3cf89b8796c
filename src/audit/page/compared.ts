/** What is there only when it was asked for: token dynamics, overlap with evaluation data, another run. */
import { barPlot } from '../../plot/bar-plot.js';
import { type Html, html } from '../../plot/html.js';
import { linePlot } from '../../plot/line-plot.js';
import { plots, table } from '../../plot/page.js';
import type { Comparison } from '../compare/comparison-report.js';
import type { Dynamics } from '../compare/dynamics-report.js';
import type { Overlap } from '../compare/overlap-report.js';
import { example } from './tokens.js';
import { about, count, nats, plain, share } from './words.js';

const MEANING = {
  'H→H': 'stays high',
  'L→H': 'rises',
  'H→L': 'falls',
  'L→L': 'stays low',
} as const;

export function dynamics(found: Dynamics | null): Html {
  if (found === null) return html``;
  const {
    checkpoints,
    classes,
    threshold,
    mean_last_loss: mean,
    tokens,
    unpaired,
    paper,
    by_token_class,
  } = found;
  return html`<section id="dynamics">
<h2>How losses went over training</h2>
<p>The losses of the same ${count(tokens)} tokens at ${checkpoints.length} checkpoints${unpaired > 0 ? ` (${count(unpaired)} tokens with a loss at only some of them are left out)` : ''}. A straight line through a token’s losses that falls by more than ${threshold} nats is H→L, one that rises by more is L→H; the rest are L→L where the last loss is at most the mean of all last losses (${nats(mean)}), else H→H. The checkpoints:</p>
<ol>${checkpoints.map((name) => html`<li>${plain(name, 200)}</li>`)}</ol>
${plots([
  linePlot({
    title: 'Mean loss by class',
    x: { label: 'checkpoint' },
    y: { label: 'nats', include: [0] },
    series: classes
      .filter((one) => one.tokens > 0)
      .map((one) => ({
        name: one.class,
        points: one.losses.flatMap((loss, i) => (loss === null ? [] : [[i + 1, loss] as const])),
      })),
  }),
  barPlot({
    title: 'Share of tokens',
    label: 'of all; the paper’s share beside it',
    bars: classes.map((one) => ({
      name: `${one.class} ${MEANING[one.class]}`,
      share: one.share,
      text: `${share(one.share)}; ${share(paper[one.class])}`,
    })),
  }),
])}
${table(
  [
    { title: 'class' },
    { title: 'tokens', number: true },
    { title: 'share', number: true },
    { title: 'paper', number: true },
    ...checkpoints.map((_, i) => ({ title: `nats at ${i + 1}`, number: true })),
  ],
  classes.map((one) => [
    `${one.class} ${MEANING[one.class]}`,
    count(one.tokens),
    share(one.share),
    share(paper[one.class]),
    ...one.losses.map((loss) => nats(loss)),
  ]),
)}
${
  by_token_class === null
    ? ''
    : table(
        [
          { title: 'class of token' },
          { title: 'tokens', number: true },
          ...classes.map((one) => ({ title: one.class, number: true })),
        ],
        by_token_class.map((one) => [
          plain(one.name, 60),
          count(one.tokens),
          ...classes.map(({ class: name }) => share(one.shares[name])),
        ]),
      )
}
${classes.map(({ class: name, examples }) =>
  examples.some(({ text }) => text !== null)
    ? html`<h3>${name} ${MEANING[name]}</h3>${examples
        .slice(0, 5)
        .map((one) =>
          one.text === null
            ? ''
            : html`<div class="pair">${example({ ...one.text, kept: null })}<p class="faint">${one.losses.map((loss) => nats(loss)).join(' → ')}</p></div>`,
        )}`
    : '',
)}
</section>`;
}

export function overlap(found: Overlap | null): Html {
  if (found === null) return html``;
  const { n, evaluation, reference, rule } = found;
  return html`<section id="overlap">
<h2>Overlap of reference and evaluation data</h2>
<p>How many runs of ${n} words of the evaluation sets stand in the data that the reference model was trained on (${count(reference.documents)} documents, ${about(reference.words)} words, ${count(reference.shards)} shards). A reference that has seen the evaluation makes a selection that favours it. ${plain(rule, 400)}</p>
${plots([
  barPlot({
    title: `Share of ${n}-word runs found`,
    label: 'of all runs in the set',
    bars: evaluation.map((one) => ({
      name: plain(one.name, 60),
      share: one.share,
      text: `${share(one.share)} of ${about(one.ngrams)}`,
    })),
  }),
])}
${table(
  [
    { title: 'evaluation set' },
    { title: 'documents', number: true },
    { title: 'too short', number: true },
    { title: 'runs', number: true },
    { title: 'found', number: true },
    { title: 'share', number: true },
    { title: 'documents over half', number: true },
  ],
  evaluation.map((one) => [
    plain(one.name, 120),
    count(one.documents),
    count(one.short_documents),
    count(one.ngrams),
    count(one.found),
    share(one.share),
    count(one.documents_over_half),
  ]),
)}
</section>`;
}

export function comparison(found: Comparison | null): Html {
  if (found === null) return html``;
  const { names, eligible, unpaired, selection, measure, losses, differ_by, examples, only_in_a, only_in_b } =
    found;
  const [a, b] = names.map((name) => plain(name, 60)) as [string, string];
  return html`<section id="comparison">
<h2>Beside another run</h2>
<p>a is ${a}, b is ${b}: ${count(eligible)} tokens with a loss in both${unpaired > 0 ? `, ${count(unpaired)} with a loss in one only and left out` : ''}.${
    selection === null
      ? ''
      : html` <strong>${count(selection.flipped)} tokens (${share(selection.flip_rate)}) are kept by one run and dropped by the other</strong>; of the tokens that either keeps, both keep ${share(selection.agreement)}.`
  }${partsOfOne('a', only_in_a)}${partsOfOne('b', only_in_b)}</p>
${
  selection === null
    ? ''
    : table(
        [{ title: '' }, { title: 'b keeps', number: true }, { title: 'b drops', number: true }],
        [
          ['a keeps', count(selection.both), count(selection.only_a)],
          ['a drops', count(selection.only_b), count(selection.neither)],
        ],
      )
}
${
  losses.length === 0
    ? ''
    : table(
        [
          { title: 'difference of' },
          { title: 'tokens', number: true },
          { title: 'mean', number: true },
          { title: '99.9%', number: true },
          { title: 'most', number: true },
        ],
        losses.map((one) => [
          plain(one.column, 60),
          count(one.count),
          one.mean.toPrecision(3),
          one.p999.toPrecision(3),
          one.max.toPrecision(3),
        ]),
      )
}
${
  selection === null
    ? differ_by.map(
        (by) => html`<h3>By ${plain(by.label, 60)}</h3>
${table(
  [
    { title: plain(by.label, 60) },
    { title: 'tokens', number: true },
    { title: `mean difference of ${measure ?? 'losses'}`, number: true },
  ],
  by.groups.map((group) => [plain(group.name, 60), count(group.eligible), nats(group.difference)]),
)}`,
      )
    : plots(
        differ_by.map((by) =>
          barPlot({
            title: `By ${plain(by.label, 60)}`,
            label: 'kept by one run only',
            bars: [...by.groups, ...(by.others === null ? [] : [{ ...by.others, name: 'others' }])].map(
              (group) => ({
                name: plain(group.name, 60),
                share: group.flip_rate,
                text: `${share(group.flip_rate)} of ${about(group.eligible)}`,
              }),
            ),
            mark: { share: selection.flip_rate, text: `all ${share(selection.flip_rate)}` },
          }),
        ),
      )
}
${examples.some(({ text }) => text !== null) ? html`<h3>Tokens that one run only keeps</h3>` : ''}
${examples
  .slice(0, 20)
  .map((one) =>
    one.text === null
      ? ''
      : html`<div class="pair">${example({ ...one.text, kept: null })}<p class="faint">kept by ${one.kept_by}; excess ${nats(one.excess_a, true)} in a, ${nats(one.excess_b, true)} in b</p></div>`,
  )}
</section>`;
}

/** Parts that are not compared, since one run only has them. */
function partsOfOne(run: 'a' | 'b', { total, names }: Comparison['only_in_a']): string {
  if (total === 0) return '';
  const named = names.slice(0, 5).map((name) => plain(name, 120));
  return ` Only ${run} has ${count(total)} more ${total === 1 ? 'part' : 'parts'}: ${named.join(', ')}${total > named.length ? ', …' : ''}.`;
}
