/** A page around plots and tables: one file, nothing fetched; for light, dark and paper. */
import { createHash } from 'node:crypto';
import { Html, html } from './html.js';

const css = `
:root { color-scheme: light dark; --ink: #1d2026; --paper: #fff; --faint: #666c76; --rule: #d9dce1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --paper: #16181d; --faint: #9aa0aa; --rule: #353a43; } }
@media print { :root { color-scheme: light; --ink: #000; --paper: #fff; --faint: #444; --rule: #bbb; } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p.note, caption { color: var(--faint); font-size: .9em; text-align: left; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.25rem; }
.plots svg { width: 100%; height: auto; break-inside: avoid; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
td.number, th.number { text-align: right; overflow-wrap: normal; }
tr { break-inside: avoid; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-after: avoid; }
  .plots { grid-template-columns: 1fr 1fr; } }
`;

/** What a page has besides: CSS of its own, and one script (an ES module without imports), which the policy names by hash. */
export interface PageExtras {
  readonly css?: string;
  readonly script?: string;
}

/**
 * Everything from the doctype on. The policy forbids whatever the page does not need: anything fetched, and every
 * script but the one given.
 */
export function page(title: string, body: Html, extras: PageExtras = {}): string {
  const { script } = extras;
  const policy = ["default-src 'none'", "style-src 'unsafe-inline'"];
  if (script !== undefined) {
    // The end tag would close the element, and an opening comment could hide it.
    if (/<(?:\/script|script|!--)/i.test(script)) throw new Error('a script that an element cannot hold');
    policy.push(`script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'`);
  }
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${new Html(policy.join('; '))}">
<title>${title}</title>
<style>${new Html(css + (extras.css ?? ''))}</style>
</head>
<body>
<h1>${title}</h1>
${body}
${script === undefined ? '' : new Html(`<script type="module">${script}</script>`)}</body>
</html>
`.text;
}

/** A column's title; `number` aligns it to the right. */
export interface Column {
  readonly title: string;
  readonly number?: boolean;
}

export function table(columns: readonly Column[], rows: readonly (readonly (string | number)[])[]): Html {
  const kind = (index: number): Html => new Html(columns[index]?.number ? ' class="number"' : '');
  return html`<div class="scroll"><table>
<thead><tr>${columns.map(({ title }, i) => html`<th scope="col"${kind(i)}>${title}</th>`)}</tr></thead>
<tbody>
${rows.map((cells) => html`<tr>${cells.map((cell, i) => html`<td${kind(i)}>${cell}</td>`)}</tr>\n`)}</tbody>
</table></div>`;
}

/** SVG strings of `linePlot`, side by side where there is room. */
export const plots = (svgs: readonly string[]): Html =>
  html`<div class="plots">${svgs.map((svg) => new Html(svg))}</div>`;
