/**
 * The tables of docs/models.md that follow from the code: fields of config.json by family and by fate.
 *   node scripts/model-fields.mjs          prints them
 *   node scripts/model-fields.mjs --write  puts them between the marks in docs/models.md (needs a build)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { activations } from '../dist/model/activations.js';
import { families } from '../dist/model/architectures/index.js';
import { inertFields, refusedFields } from '../dist/model/config-fields.js';
import { ropeSchema, ropeTypes } from '../dist/model/rope.js';

/** @param {readonly string[]} names */
const code = (names) => names.map((name) => `\`${name}\``).join(', ');
const [begin, end] = ['<!-- fields: begin -->', '<!-- fields: end -->'];

/** Markdown, from the tables that the product reads configurations by. */
export function fieldTables() {
  return [
    '| `model_type` | class of transformers | fields understood | fields of its own that change nothing |',
    '|---|---|---|---|',
    ...Object.entries(families).map(
      ([type, { className, understood, inert }]) =>
        `| \`${type}\` | ${className} | ${code(understood)} | ${code(inert)} |`,
    ),
    '',
    `Rope types: ${code(ropeTypes)}. Inside of rope parameters: ${code(Object.keys(ropeSchema.shape))}.`,
    '',
    `Activations: ${code(activations.names)}.`,
    '',
    `Change nothing in any family: ${code(inertFields)}.`,
    '',
    '| refused where it is set | because it says |',
    '|---|---|',
    ...Object.entries(refusedFields).map(([name, [says]]) => `| \`${name}\` | ${says} |`),
  ].join('\n');
}

/**
 * The text with the tables between the marks.
 * @param {string} text
 */
export function withTables(text) {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/models.md has no ${begin} … ${end}`);
  return `${text.slice(0, from + begin.length)}\n\n${fieldTables()}\n\n${text.slice(to)}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = fileURLToPath(new URL('../docs/models.md', import.meta.url));
  if (process.argv.includes('--write')) writeFileSync(path, withTables(readFileSync(path, 'utf8')));
  else process.stdout.write(`${fieldTables()}\n`);
}
