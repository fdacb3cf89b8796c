import { html } from '../../plot/html.js';
import { page } from '../../plot/page.js';
import type { ReadingDocument } from '../reading/reading-document.js';
import type { Audit } from '../report.js';
import { distributions, keptBy } from './charts.js';
import { comparison, dynamics, overlap } from './compared.js';
import { conventions } from './conventions.js';
import { documents, repeated } from './documents.js';
import { reading } from './reading.js';
import { readingData } from './reading-data.js';
import { readerScript } from './script.js';
import { style } from './style.js';
import { summary } from './summary.js';
import { tokens } from './tokens.js';
import { plain } from './words.js';

/**
 * The audit as one HTML file: opens from disk, fetches nothing, runs one script of its own, under 5 MB.
 * @param sampled what `sampleDocuments` gave
 */
export function renderAudit(audit: Audit, sampled: readonly ReadingDocument[]): string {
  const data = readingData(sampled);
  const places = new Map(data.documents.map(({ shard, row }, index) => [`${shard}\n${row}`, index]));
  const placeOf = ({ shard, row }: { readonly shard: string; readonly row: number }) =>
    places.get(`${shard}\n${row}`) ?? null;
  const contents: readonly (readonly [string, string])[] = [
    ['reading', 'Read'],
    ['distributions', 'Losses'],
    ['kept', audit.totals.kept === null ? 'Groups' : 'What was kept'],
    ['tokens', 'Tokens'],
    ['documents-by-excess', 'Documents'],
    ['repeated', 'Repeated'],
    ...(audit.dynamics === null ? [] : [['dynamics', 'Over training'] as const]),
    ...(audit.overlap === null ? [] : [['overlap', 'Overlap'] as const]),
    ...(audit.comparison === null ? [] : [['comparison', 'Other run'] as const]),
    ['conventions', 'Conventions'],
  ];
  const body = html`${summary(audit)}
<nav class="contents" aria-label="On this page">${contents.map(([id, name]) => html`<a href="#${id}">${name}</a> `)}</nav>
${reading(audit, data)}
${distributions(audit)}
${keptBy(audit)}
${tokens(audit)}
${documents(audit, placeOf)}
${repeated(audit)}
${dynamics(audit.dynamics)}
${overlap(audit.overlap)}
${comparison(audit.comparison)}
${conventions(audit)}
`;
  const script = data.documents.length === 0 ? {} : { script: readerScript() };
  return page(plain(audit.title, 200), body, { css: style, ...script });
}
