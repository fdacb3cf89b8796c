/** Graded items as one HTML file: opens from disk, fetches nothing, runs one script that filters. */
import { readFileSync } from 'node:fs';
import { type Html, html } from '../../../plot/html.js';
import { page, table } from '../../../plot/page.js';
import type { Estimate } from '../../estimate.js';
import type { FileGrades, GradedItem } from '../grade-file.js';
import type { PairedItem } from '../paired.js';
import type { GradeReport } from '../report.js';

/** Of each text as much as a reader takes in; and of all together what a browser takes well. */
const MOST_TEXT = 4000;
const MOST_PAGE = 24e6;

export function gradingPage(report: GradeReport, pairs: readonly PairedItem[]): string {
  const { grades, against } = report;
  const share = Math.max(
    400,
    Math.floor(MOST_PAGE / (Math.max(1, pairs.length) * (against === null ? 1 : 2))),
  );
  const most = Math.min(MOST_TEXT, share);
  const body = html`${summary(report)}
<div class="tools">
<label>Items <select id="kind" autocomplete="off">${kindsOf(report).map(([value, title]) => html`<option value="${value}">${title}</option>`)}</select></label>
<label>with the words <input type="search" id="search" autocomplete="off" spellcheck="false"></label>
<span id="shown" class="note" role="status"></span>
</div>
<noscript><p class="note">The filter needs JavaScript, which is switched off here; all items are shown.</p></noscript>
<ol id="items">
${pairs.map((pair) => itemOf(pair, most, against !== null))}</ol>
`;
  const title = `${grades.task}: ${grades.items} items graded`;
  return page(title, body, { css: style, script: filterScript() });
}

function summary({ grades, against }: GradeReport): Html {
  const row = (
    name: string,
    { path, accuracy, right, items, withoutAnswer, cut, quarantined }: FileGrades,
  ) => [
    name,
    path,
    percent(accuracy),
    right,
    items,
    withoutAnswer,
    cut,
    Object.values(quarantined).reduce((sum, n) => sum + n, 0),
  ];
  const number = true;
  const files = table(
    [
      { title: '' },
      { title: 'outputs' },
      { title: 'accuracy', number },
      { title: 'right', number },
      { title: 'items', number },
      { title: 'without an answer', number },
      { title: 'over a bound', number },
      { title: 'lines set aside', number },
    ],
    [row('first', grades), ...(against === null ? [] : [row('second', against.grades)])],
  );
  if (against === null) return files;
  const { both, onlyOwn, onlyOther, neither, difference, otherQuestions } = against.comparison;
  const solved = table(
    [
      { title: 'both right', number },
      { title: 'only the first', number },
      { title: 'only the second', number },
      { title: 'neither', number },
      { title: 'first less second (paired)', number },
    ],
    [[both, onlyOwn, onlyOther, neither, percent(difference)]],
  );
  const note =
    otherQuestions === 0
      ? ''
      : html`<p class="note">${otherQuestions} items have another question in the second file; the first file's is shown.</p>`;
  return html`${files}\n${solved}\n${note}`;
}

const kindsOf = ({ against }: GradeReport): readonly (readonly [string, string])[] => [
  ['all', 'all'],
  ...(against === null
    ? [['right', 'right'] as const, ['wrong', 'wrong'] as const]
    : [
        ['both', 'both right'] as const,
        ['first', 'only the first right'] as const,
        ['second', 'only the second right'] as const,
        ['neither', 'neither right'] as const,
        ['other', 'different answers'] as const,
      ]),
  ['empty', 'without an answer'],
];

function itemOf({ own, other }: PairedItem, most: number, isPaired: boolean): Html {
  const kinds = [own.score ? 'right' : 'wrong'];
  const answers = other === null ? [own] : [own, other];
  if (answers.some(({ extracted }) => extracted === '')) kinds.push('empty');
  if (other !== null) {
    kinds.push(own.score ? (other.score ? 'both' : 'first') : other.score ? 'second' : 'neither');
    if (own.extracted !== other.extracted) kinds.push('other');
  }
  const missing =
    isPaired && other === null ? html`<p class="note">The second file has no such item.</p>` : '';
  return html`<li value="${own.line + 1}" data-kinds="${kinds.join(' ')}"><details><summary><span class="question" dir="auto">${cut(own.question, 160) || `line ${own.line + 1}`}</span> <span class="answers">${answers.map(verdict)}</span></summary>
<p class="text" dir="auto">${cut(own.question, most)}</p>
<p>Right answer: <code>${cut(own.answer, 400)}</code></p>
<div class="outputs">${answers.map((item) => html`<div><p class="text output" dir="auto">${cut(item.output, most)}</p><p>${verdict(item)}${item.cut === null ? '' : ` ${item.cut}`}</p></div>`)}</div>${missing}</details></li>\n`;
}

const verdict = ({ score, extracted }: GradedItem): Html =>
  html`<span class="${score ? 'yes' : 'no'}">${score ? '✓ right' : '✗ wrong'} <code>${cut(extracted, 80) || 'no answer'}</code></span> `;

const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)} …` : text);

const percent = ({ value, stderr }: Estimate): string =>
  value === null
    ? 'N/A'
    : `${(100 * value).toFixed(2)}%${stderr === null ? '' : ` ± ${(100 * stderr).toFixed(2)}`}`;

const filterScript = (): string =>
  readFileSync(new URL('browser/filter.js', import.meta.url), 'utf8').replace(/^export \{\};\n?/m, '');

/** Right and wrong differ by sign and word, not by colour alone. */
const style = `
:root { --good: #1b7a3d; --bad: #b3261e; --shade: #f4f5f7; }
@media (prefers-color-scheme: dark) { :root { --good: #6fd08c; --bad: #ff8a80; --shade: #1f2229; } }
@media print { :root { --good: #1b7a3d; --bad: #b3261e; --shade: #f4f5f7; } .tools { display: none; } }
body { max-width: 76rem; }
.tools { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; align-items: baseline; padding: .75rem 0; }
.tools input, .tools select { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--rule); border-radius: 4px; padding: .25rem .5rem; }
#items { padding-left: 3.5rem; } #items > li { padding: .3rem 0; border-bottom: 1px solid var(--rule); }
summary { cursor: pointer; } .answers { white-space: normal; } .question { overflow-wrap: anywhere; unicode-bidi: isolate; }
.yes { color: var(--good); } .no { color: var(--bad); }
code { font: .95em ui-monospace, 'DejaVu Sans Mono', monospace; background: var(--shade); color: var(--ink); padding: .05rem .3rem; border-radius: 3px; overflow-wrap: anywhere; unicode-bidi: isolate; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; }
.outputs { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 0 2rem; }
.output { border-left: 3px solid var(--rule); padding-left: .8rem; font-size: .92em; }
`;
