/** The tokens most kept and most dropped, with places where they stand. */
import { type Html, html } from '../../plot/html.js';
import type { Audit, TokenExample, TokenRow } from '../report.js';
import { about, context, nats, share, token } from './words.js';

/** Examples of a token that the page shows; audit.json has the others. */
const EXAMPLES = 2;
/** Tokens of either list that are in view at once; the others fold out. */
const SHOWN = 12;
const CONTEXT = 70;

export function tokens({ tokens: { kept_share_overall: overall, most_kept, most_dropped } }: Audit): Html {
  if (most_kept.length + most_dropped.length === 0) return html``;
  return html`<section id="tokens">
<h2>Tokens most kept and most dropped</h2>
<p>Of the tokens that are frequent enough to tell. Spaces are shown as ␣, line ends as ↵${
    overall === null ? '.' : html`; of all tokens, ${share(overall)} were kept.`
  }</p>
<div class="columns">
${list(overall === null ? 'Highest excess' : 'Most kept', most_kept)}
${list(overall === null ? 'Lowest excess' : 'Most dropped', most_dropped)}
</div>
</section>`;
}

const list = (title: string, rows: readonly TokenRow[]): Html => html`<div>
<h3>${title}</h3>
${items(rows.slice(0, SHOWN))}
${rows.length <= SHOWN ? '' : html`<details><summary>${rows.length - SHOWN} more</summary>${items(rows.slice(SHOWN))}</details>`}
</div>`;

const items = (rows: readonly TokenRow[]): Html => html`<ol class="tokens">
${rows.map(
  (row) => html`<li>
<p class="row"><code dir="auto">${row.text === null ? `id ${row.id}` : token(row.text)}</code>
<span>${
    row.kept === null
      ? `${about(row.eligible)} times`
      : `kept ${share(row.kept, row.eligible)} of ${about(row.eligible)}`
  }</span>
<span class="faint">${[row.class ?? '', row.excess === null ? '' : `excess ${nats(row.excess, true)}`].filter((part) => part !== '').join(', ')}</span></p>
${row.examples.slice(0, EXAMPLES).map(example)}
</li>
`,
)}</ol>`;

/** A token where it stands: between what is before and after it. */
export const example = ({
  before,
  token: own,
  after,
  kept,
}: Omit<TokenExample, 'shard' | 'row' | 'excess'>): Html =>
  html`<p class="example" dir="auto"><span>${context(before, CONTEXT, 'start')}</span><mark class="${
    kept === null ? 'target' : kept ? 'target kept' : 'target dropped'
  }">${token(own)}</mark><span>${context(after, CONTEXT, 'end')}</span></p>\n`;
