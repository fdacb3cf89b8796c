/** The reading view: list, controls and paper; the page's script fills in the text. */
import { Html, html } from '../../plot/html.js';
import type { ReadingDocument } from '../reading/reading-document.js';
import type { Audit } from '../report.js';
import { documentName } from './documents.js';
import type { ReadingData } from './reading-data.js';
import { count, nats, plain, share } from './words.js';

interface Mode {
  readonly name: string;
  readonly title: string;
  readonly legend: Html;
}

const sample = (classes: string, text: string): Html => html`<span class="sample ${classes}">${text}</span>`;

const MODES = {
  kept: {
    name: 'kept',
    title: 'Kept and dropped',
    legend: html`${sample('kept', 'Kept')} in full ink, ${sample('dropped', 'dropped')} faint and dotted, ${sample('none', 'no target')} in italics.`,
  },
  excess: {
    name: 'excess',
    title: 'Excess loss',
    legend: html`Solid line: the current model is behind the reference, ${sample('up1', '+0.3')} ${sample('up2', '+1')} ${sample('up3', '+3 nats')} and more. Dashed: it is ahead, ${sample('down1', '−0.3')} ${sample('down2', '−1')} ${sample('down3', '−3 nats')} and less.`,
  },
  weight: {
    name: 'weight',
    title: 'Weight',
    legend: html`${sample('w0', 'weight 0')} is dotted; the thicker the line, the more weight: ${sample('w1', 'low')} ${sample('w2', '')} ${sample('w3', '')} ${sample('w4', 'highest')}.`,
  },
  loss: {
    name: 'loss',
    title: 'Loss',
    legend: html`The thicker the line, the higher the loss: ${sample('l1', '0.1')} ${sample('l2', '1')} ${sample('l3', '3')} ${sample('l4', '6 nats')} and more.`,
  },
} as const satisfies Readonly<Record<string, Mode>>;

export function reading({ sample: drawn }: Audit, { json, documents }: ReadingData): Html {
  if (documents.length === 0)
    return html`<section id="reading"><h2>Read the documents</h2><p>There is no document to read.</p></section>`;
  const modes = modesOf(documents);
  const [first] = modes;
  return html`<section id="reading">
<h2>Read the documents</h2>
<p>${count(documents.length)} documents, every token as it was judged. ${plain(drawn.rule, 600)}${notesOn(documents)}</p>
<noscript><p class="warning">This view needs JavaScript, which is switched off here. Everything else on the page works without it.</p></noscript>
<div id="reader" class="reader" data-mode="${first?.name ?? 'loss'}" data-first="${Math.max(
    0,
    documents.findIndex(({ chosen }) => chosen.includes('sample')),
  )}">
<div class="picker">
<label for="search">Search these documents</label>
<input type="search" id="search" autocomplete="off" spellcheck="false">
<label for="which" class="unseen">Which documents</label>
<select id="which"><option value="all">all documents</option><option value="sample">drawn at random</option><option value="highest">highest mean excess</option><option value="lowest">lowest mean excess</option></select>
<p id="found" class="note" role="status"></p>
<ol id="documents">
${documents.map(item)}</ol>
</div>
<div class="paper">
<h3 id="document-name"></h3>
<p id="document-facts" class="note"></p>
<div class="tools">
<fieldset><legend class="unseen">What the text shows</legend>
${modes.map(({ name, title }, i) => html`<label><input type="radio" name="mode" value="${name}"${new Html(i === 0 ? ' checked' : '')}> ${title}</label>\n`)}</fieldset>
<div class="jumps">${jumps(documents)}<button type="button" data-jump="hit">Next match</button></div>
</div>
${modes.map(({ name, legend }) => html`<p class="legend" data-for="${name}">${legend}</p>\n`)}
<div id="text" class="text" role="group" dir="auto" aria-label="The document’s text. Arrow keys move from token to token, d and k to the next dropped and kept one."></div>
<p class="keys note">Point at a token, or press Tab and the arrow keys, to see its losses.</p>
</div>
<div id="card" role="status" hidden></div>
</div>
<script type="application/json" id="reading-data">${new Html(json)}</script>
</section>`;
}

function modesOf(documents: readonly ReadingDocument[]): readonly Mode[] {
  const some = (test: (tokens: ReadingDocument['tokens']) => boolean) =>
    documents.some(({ tokens }) => test(tokens));
  return [
    ...(some(({ weight }) => weight !== null) ? [MODES.kept] : []),
    ...(some(({ reference, current }) => reference !== null && current !== null) ? [MODES.excess] : []),
    ...(some(({ weight }) => weight?.some((one) => one !== 0 && one !== 1) ?? false) ? [MODES.weight] : []),
    MODES.loss,
  ];
}

const jumps = (documents: readonly ReadingDocument[]): Html | string =>
  documents.some(({ tokens }) => tokens.weight !== null)
    ? html`<button type="button" data-jump="dropped" data-step="1">Next dropped</button><button type="button" data-jump="kept" data-step="1">Next kept</button>`
    : '';

const TAGS = { sample: '', highest: 'highest excess', lowest: 'lowest excess' } as const;

function item(document: ReadingDocument, index: number): Html {
  const { chosen, shard, row } = document;
  const name = documentName(document, document.source === 'ids' ? null : document.text);
  const facts = factsOf(document);
  const tags = chosen.map((why) => TAGS[why]).filter((tag) => tag !== '');
  return html`<li id="document-${index}" data-chosen="${chosen.join(' ')}" data-name="${name}" data-facts="${`${plain(shard, 120)}, row ${count(row)}. ${longFacts(document)}`}"><button type="button" data-document="${index}"><span class="name">${name}</span><span class="faint">${facts}</span>${tags.map((tag) => html`<span class="tag">${tag}</span>`)}<span class="hits"></span></button></li>\n`;
}

/** Targets, kept ones and mean excess of the tokens that are shown. */
function figuresOf({ tokens: { reference, current, weight } }: ReadingDocument) {
  const loss = current ?? reference;
  let [targets, kept, excess] = [0, 0, 0];
  for (let i = 0; i < (loss?.length ?? 0); i++) {
    if (Number.isNaN(loss?.[i] ?? Number.NaN)) continue;
    targets++;
    if ((weight?.[i] ?? 0) > 0) kept++;
    excess += (current?.[i] ?? Number.NaN) - (reference?.[i] ?? Number.NaN);
  }
  const hasBoth = reference !== null && current !== null && targets > 0;
  return { targets, kept: weight === null ? null : kept, excess: hasBoth ? excess / targets : null };
}

function factsOf(document: ReadingDocument): string {
  const { targets, kept, excess } = figuresOf(document);
  return [
    `${count(document.tokens.ids.length)} tokens`,
    ...(kept === null ? [] : [`${share(kept, targets)} kept`]),
    ...(excess === null ? [] : [`excess ${nats(excess, true)}`]),
  ].join(', ');
}

function longFacts(document: ReadingDocument): string {
  const { complete, tokens, totalTokens, source, note } = document;
  const shown = tokens.ids.length;
  const cut = complete
    ? ''
    : ` Only the first ${count(shown)}${totalTokens === null ? '' : ` of ${count(totalTokens)}`} tokens are shown.`;
  const from = {
    shard: '',
    rebuilt: ` The text is rebuilt from the ids: ${plain(note ?? '', 300)}.`,
    ids: ` Ids are shown instead of text: ${plain(note ?? '', 300)}.`,
  }[source];
  return `${factsOf(document)}.${cut}${from}`;
}

/** What is not as a reader would take it to be, counted over all documents. */
function notesOn(documents: readonly ReadingDocument[]): string {
  const some = (test: (document: ReadingDocument) => boolean): number => documents.filter(test).length;
  const [cut, rebuilt, ids] = [
    some(({ complete }) => !complete),
    some(({ source }) => source === 'rebuilt'),
    some(({ source }) => source === 'ids'),
  ];
  return [
    ...(cut > 0 ? [` ${count(cut)} of them are long and cut, which is said above the text.`] : []),
    ...(rebuilt > 0 ? [` The text of ${count(rebuilt)} is rebuilt from ids; why stands above it.`] : []),
    ...(ids > 0 ? [` ${count(ids)} are shown as ids; why stands above them.`] : []),
  ].join('');
}
