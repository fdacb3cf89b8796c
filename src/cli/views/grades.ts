import type { Estimate } from '../../evaluate/estimate.js';
import type { FileGrades } from '../../evaluate/grading/grade-file.js';
import type { GradeReport } from '../../evaluate/grading/report.js';
import type { GradeSettings } from '../../evaluate/grading/settings.js';
import { count } from '../format.js';

/** What `grade` found, in a few lines. */
export function gradesText(
  { grades, against }: GradeReport,
  { out, page }: Pick<GradeSettings, 'out' | 'page'>,
): string {
  const lines = [...ofFile(grades)];
  if (against !== null) {
    const { both, onlyOwn, onlyOther, neither, difference, otherQuestions } = against.comparison;
    lines.push(...ofFile(against.grades));
    lines.push(
      `both ${count(both)}, only the first ${count(onlyOwn)}, only the second ${count(onlyOther)}, neither ${count(neither)}`,
    );
    lines.push(`first less second: ${percent(difference)} (paired)`);
    if (otherQuestions > 0)
      lines.push(
        `${count(otherQuestions)} items have another question in the second file: are these the same items?`,
      );
  }
  if (out !== undefined) lines.push(`verdicts: ${out}`);
  if (page !== undefined) lines.push(`page: ${page}`);
  return lines.join('\n');
}

function ofFile({
  path,
  task,
  items,
  right,
  withoutAnswer,
  cut,
  accuracy,
  quarantined,
}: FileGrades): string[] {
  const lines = [`${path}: ${task} ${percent(accuracy)}, ${count(right)} of ${count(items)} right`];
  if (withoutAnswer > 0) lines.push(`${count(withoutAnswer)} outputs give no answer; they count as wrong`);
  if (cut > 0)
    lines.push(`${count(cut)} items took more time or memory than a pair may; they count as wrong`);
  const reasons = Object.entries(quarantined).map(([reason, n]) => `${reason} ${count(n)}`);
  if (reasons.length > 0) lines.push(`set aside: ${reasons.join(', ')}`);
  return lines;
}

const percent = ({ value, stderr }: Estimate): string =>
  value === null
    ? 'N/A'
    : `${(100 * value).toFixed(2)}%${stderr === null ? '' : ` ± ${(100 * stderr).toFixed(2)}`}`;
