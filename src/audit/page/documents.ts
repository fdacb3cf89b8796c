/** Documents at either end of the mean excess loss, and passages that occur again and again. */
import { type Html, html } from '../../plot/html.js';
import type { Audit, DocumentRow, RepeatedPassage } from '../report.js';
import { about, clipped, context, count, nats, plain, share } from './words.js';

/** Place of a document in the reading view; null where it is not in it. */
export type ReadingPlace = (document: { readonly shard: string; readonly row: number }) => number | null;

export function documents(
  { documents: { highest, lowest, minimum_tokens: least } }: Audit,
  placeOf: ReadingPlace,
): Html {
  if (highest.length + lowest.length === 0) return html``;
  return html`<section id="documents-by-excess">
<h2>Documents by mean excess loss</h2>
<p>The view of whole documents: high, the reference model does better than the current one; below 0, it does worse. Documents of ${count(least)} targets and more.</p>
<div class="columns">
${list('Highest', highest, placeOf)}
${list('Lowest', lowest, placeOf)}
</div>
</section>`;
}

/** Documents of either list that are in view at once; the others fold out. */
const SHOWN = 10;

const list = (title: string, rows: readonly DocumentRow[], placeOf: ReadingPlace): Html => html`<div>
<h3>${title}</h3>
${items(rows.slice(0, SHOWN), placeOf)}
${rows.length <= SHOWN ? '' : html`<details><summary>${rows.length - SHOWN} more</summary>${items(rows.slice(SHOWN), placeOf)}</details>`}
</div>`;

const items = (rows: readonly DocumentRow[], placeOf: ReadingPlace): Html => html`<ol class="rows">
${rows.map((row) => {
  const place = placeOf(row);
  const name = documentName(row, null);
  return html`<li><p class="row"><strong>${nats(row.excess, true)}</strong>
<span class="name">${place === null ? name : html`<a href="#document-${place}">${name}</a>`}</span>
<span class="faint">${row.kept === null ? '' : `kept ${share(row.kept, row.eligible)} of `}${about(row.eligible)} tokens</span></p>
${row.excerpt === null ? '' : html`<p class="example" dir="auto">${context(row.excerpt, 160, 'end')}</p>`}</li>\n`;
})}</ol>`;

/** What to call a document: its address where one is kept, else how it begins, else its place. */
export function documentName(
  { shard, row, columns }: Pick<DocumentRow, 'shard' | 'row' | 'columns'>,
  text: string | null,
): string {
  const url = Object.entries(columns).find(([name, value]) => /(^|[._])ur[li]$/i.test(name) && value)?.[1];
  const address = url?.replace(/^[a-z]+:\/\/(www\.)?/i, '').replace(/\/$/, '');
  const start = text?.trim().split(/\s*\n/, 1)[0];
  return plain(address || (start ? clipped(start, 70) : `${shard}, row ${row}`), 90);
}

const SHOWN_PASSAGES = 20;

export function repeated({ repeated: { passages, note, length } }: Audit): Html {
  if (passages.length === 0)
    return html`<section id="repeated"><h2>Repeated passages</h2><p>${plain(note, 600)}</p></section>`;
  return html`<section id="repeated">
<h2>Repeated passages</h2>
<p>${plain(note, 600)}${passages.length > SHOWN_PASSAGES ? ` The first ${SHOWN_PASSAGES} of ${count(passages.length)} are shown, of at least ${count(length)} ids each.` : ''}</p>
<ol class="rows">
${passages.slice(0, SHOWN_PASSAGES).map(passage)}</ol>
</section>`;
}

const passage = ({
  text,
  ids,
  occurrences,
  documents: many,
  kept_share,
  excess,
  tokens,
}: RepeatedPassage): Html =>
  html`<li><p class="row"><strong>${count(occurrences)} times</strong>
<span>${many === null ? '' : `in ${count(many)} documents, `}${about(tokens)} tokens</span>
<span class="faint">${kept_share === null ? '' : `kept ${share(kept_share)}`}${excess === null ? '' : `, excess ${nats(excess, true)}`}</span></p>
<p class="example" dir="auto">${context(text ?? ids.join(' '), 300, 'end')}</p></li>\n`;
