/** How the numbers came about: conventions, recipe, and how the sample was drawn. */
import { canonicalJson } from '../../json/canonical-json.js';
import { type Html, html } from '../../plot/html.js';
import { table } from '../../plot/page.js';
import type { Audit } from '../report.js';
import { inert } from './reading-data.js';
import { clipped, plain } from './words.js';

/** Longest recipe that the page holds; audit.json has all of it. */
const MAX_RECIPE = 20_000;

export function conventions({ run, sample }: Audit): Html {
  const entries = Object.entries(run.conventions ?? {});
  return html`<section id="conventions">
<h2>Conventions</h2>
<p>Implementations of the method disagree on these; here they are as the files’ metadata have them. What they mean: docs/conventions.md.</p>
${
  entries.length === 0
    ? ''
    : table(
        [{ title: 'convention' }, { title: 'here' }],
        entries.map(([name, value]) => [
          plain(name.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase(), 60),
          value === null ? 'none' : plain(typeof value === 'string' ? value : canonicalJson(value), 300),
        ]),
      )
}
<p>The sample of the reading view: ${plain(sample.rule, 1000)} Seed ${sample.seed}.</p>
<details><summary>Recipe ${run.recipe_hash.slice(0, 12)}: everything that decided the bytes of the files</summary>
<pre>${clipped(inert(JSON.stringify(run.recipe, null, 2)), MAX_RECIPE)}</pre></details>
</section>`;
}
