/**
 * How the grader's verdicts stand to two others' over published outputs: the authors' `score`, item by item, and
 * math-verify's (fixtures/grading/math-verify.json). Every item where the three do not agree is printed.
 *   node bench/grading/agreement.mjs FOLDER [--json]       FOLDER: the files of rho-1-outputs, *.jsonl.gz
 * Run after a build. The golden was made by fixtures/grading/math_verify_golden.py.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { recordOf } from '../../dist/evaluate/grading/records.js';
import { gradedTask } from '../../dist/evaluate/grading/tasks.js';
import { verdictOn } from '../../dist/evaluate/grading/verdict.js';

const golden = JSON.parse(
  readFileSync(new URL('../../fixtures/grading/math-verify.json', import.meta.url), 'utf8'),
);

/**
 * One file's verdicts of all three. The grader is given the items without the authors' verdicts.
 * @param {string} path
 */
export function agreementOf(path) {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const task = gradedTask(name.includes('gsm8k') ? 'gsm8k' : 'math');
  const second = golden.verdicts[name] ?? '';
  const items = gunzipSync(readFileSync(path))
    .toString('utf8')
    .trimEnd()
    .split('\n')
    .map((line, index) => {
      const { score, pred, report, ...item } = JSON.parse(line);
      const record = recordOf(item, task);
      if (typeof record === 'string') throw new Error(`${path}: line ${index}: ${record}`);
      const { extracted, right, score: ours } = verdictOn(record, task);
      return {
        item: index,
        extracted,
        right,
        ours,
        authors: score[0] === true,
        mathVerify: second[index] === '1',
      };
    });
  const share = (/** @type {(item: (typeof items)[number]) => boolean} */ test) =>
    items.filter(test).length / items.length;
  return {
    name,
    items: items.length,
    accuracy: {
      ours: share(({ ours }) => ours),
      authors: share(({ authors }) => authors),
      mathVerify: second === '' ? null : share(({ mathVerify }) => mathVerify),
    },
    agreement: {
      authors: share(({ ours, authors }) => ours === authors),
      mathVerify: second === '' ? null : share(({ ours, mathVerify }) => ours === mathVerify),
      authorsWithMathVerify:
        second === '' ? null : share(({ authors, mathVerify }) => authors === mathVerify),
    },
    differing: items.filter(
      ({ ours, authors, mathVerify }) => ours !== authors || (second !== '' && ours !== mathVerify),
    ),
  };
}

const percent = (/** @type {number | null} */ value) => (value === null ? 'N/A' : (100 * value).toFixed(2));

function main() {
  const [folder, format] = process.argv.slice(2);
  if (folder === undefined) throw new Error('usage: node bench/grading/agreement.mjs FOLDER [--json]');
  const found = readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl.gz'))
    .sort()
    .map((name) => agreementOf(join(folder, name)));
  if (format === '--json') {
    console.log(JSON.stringify(found, null, 1));
    return;
  }
  for (const { name, items, accuracy, agreement, differing } of found) {
    console.log(`${name}: ${items} items`);
    console.log(
      `  accuracy: ours ${percent(accuracy.ours)}, authors ${percent(accuracy.authors)}, math-verify ${percent(accuracy.mathVerify)}`,
    );
    console.log(
      `  agreement: ours with authors ${percent(agreement.authors)}, ours with math-verify ${percent(agreement.mathVerify)}, authors with math-verify ${percent(agreement.authorsWithMathVerify)}`,
    );
    for (const { item, extracted, right, ours, authors, mathVerify } of differing) {
      const marks = [`ours ${ours}`, `authors ${authors}`, `math-verify ${mathVerify}`].join(', ');
      console.log(`  item ${item}: ${extracted} | ${right}: ${marks}`);
    }
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) main();
