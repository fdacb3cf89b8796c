/** Distributions of losses, and what was kept of each group of tokens. */
import { barPlot } from '../../plot/bar-plot.js';
import { histogramPlot } from '../../plot/histogram-plot.js';
import { type Html, html } from '../../plot/html.js';
import { plots, table } from '../../plot/page.js';
import type { Audit, Distribution, KeptBy, KeptGroup } from '../report.js';
import { COLUMN_NAMES, columnTable } from './summary.js';
import { about, count, nats, plain, share } from './words.js';

export function distributions(audit: Audit): Html {
  const selected = audit.totals.kept !== null;
  return html`<section id="distributions">
<h2>How the losses lie</h2>
<p>${
    selected
      ? 'Where the area stands above the dashed line, tokens of that loss were mostly kept; where it is below, mostly dropped.'
      : 'Tokens by their loss.'
  } Heights are square roots of counts, so that what is rare is seen beside what is common.</p>
${plots(audit.distributions.map(distribution))}
${columnTable(audit)}
</section>`;
}

function distribution({ column, lower, width, kept, dropped, all }: Distribution): string {
  const series =
    kept === null || dropped === null
      ? [{ name: 'all', counts: all }]
      : [
          { name: 'kept', counts: kept },
          { name: 'dropped', counts: dropped },
        ];
  const name = COLUMN_NAMES[column];
  return histogramPlot({
    title: `${name.charAt(0).toUpperCase()}${name.slice(1)}`,
    label: `${name}, nats`,
    unit: 'tokens',
    lower,
    width,
    series,
    ...(column === 'excess' && { mark: { value: 0, text: 'both alike' } }),
  });
}

export function keptBy(audit: Audit): Html {
  const { kept, eligible } = audit.totals;
  const overall = kept === null || eligible === 0 ? null : kept / eligible;
  const title = overall === null ? 'Which tokens there are' : 'What was kept of which tokens';
  return html`<section id="kept">
<h2>${title}</h2>
<p>${
    overall === null
      ? 'A bar’s length is the group’s share of all targets.'
      : html`A bar’s length is the share of the group that was kept; the dashed line is the share of all tokens, ${share(overall)}. A bar beyond the line: a group that the selection favours.`
  }</p>
${plots(audit.kept_by.map((one) => keptPlot(one, overall, eligible)))}
<details><summary>The same in numbers</summary>
${audit.kept_by.map(keptTable)}
</details>
</section>`;
}

/** Groups with those left out as one more. */
const groupsOf = ({ groups, groups_total, others }: KeptBy): KeptGroup[] => [
  ...groups,
  ...(others === null
    ? []
    : [{ ...others, name: `${count(Math.max(0, groups_total - groups.length))} others` }]),
];

function keptPlot(by: KeptBy, overall: number | null, eligible: number): string {
  // What comes after a comma tells more than a title needs.
  const [title = '', ...more] = titleOf(by).split(', ');
  return barPlot({
    title,
    label: [overall === null ? 'share of targets and mean excess' : 'share kept', ...more].join(', '),
    bars: groupsOf(by).map((group) => {
      const name = nameOf(group);
      if (overall === null || group.kept === null) {
        const part = eligible === 0 ? null : group.eligible / eligible;
        const mean = group.excess ?? group.current_loss ?? group.reference_loss;
        return { name, share: part, text: `${share(part)}, ${nats(mean, group.excess !== null)}` };
      }
      const part = group.eligible === 0 ? null : group.kept / group.eligible;
      return { name, share: part, text: `${share(part)} of ${about(group.eligible)}` };
    }),
    ...(overall !== null && { mark: { share: overall, text: `all ${share(overall)}` } }),
  });
}

/** Tenths are numbered: their bounds say more. */
const nameOf = ({ name, low, high }: KeptGroup): string =>
  low === null || !/^\d+$/.test(name) || String(low) === name
    ? plain(name, 120)
    : high === null
      ? `from ${nats(low)}`
      : `${nats(low)} to ${nats(high)}`;

const titleOf = ({ label }: KeptBy): string => `By ${plain(label, 90)}`;

const keptTable = (by: KeptBy): Html => html`<h3>${titleOf(by)}</h3>
${table(
  [
    { title: plain(by.label, 60) },
    { title: 'tokens', number: true },
    { title: 'kept', number: true },
    { title: 'share', number: true },
    { title: 'reference loss', number: true },
    { title: 'current loss', number: true },
    { title: 'excess', number: true },
  ],
  groupsOf(by).map((group) => [
    nameOf(group),
    count(group.eligible),
    group.kept === null ? '–' : count(group.kept),
    group.kept === null ? '–' : share(group.kept, group.eligible),
    nats(group.reference_loss),
    nats(group.current_loss),
    nats(group.excess, true),
  ]),
)}`;
