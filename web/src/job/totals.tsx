import type { JSX } from 'preact';
import type { JobDetail, Totals as Sums } from '../api/types.js';
import { count, dateAndTime, duration, percent } from '../common/format.js';

/** The sums of a job that is over, and what it says at its end. */
export function Totals({ totals }: { readonly totals: Sums }): JSX.Element {
  const kept = totals.eligible > 0 ? ` (${percent(totals.kept / totals.eligible, 1)} of the eligible)` : '';
  return (
    <section aria-labelledby="totals-title">
      <h2 id="totals-title">Totals</h2>
      <dl class="facts">
        {(
          [
            ['Documents', count(totals.documents)],
            ['Tokens', count(totals.tokens)],
            ['Eligible', count(totals.eligible)],
            ['Kept', `${count(totals.kept)}${kept}`],
            ['Rows set aside', count(totals.quarantined_rows)],
          ] as const
        ).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** "Submitted Nov 23, 22:15 · started … · took 1 min 03 s · attempt 2" */
export function JobTimes({ job }: { readonly job: JobDetail }): JSX.Element {
  const words = [`submitted ${dateAndTime(job.submitted)}`];
  if (job.started !== null) words.push(`started ${dateAndTime(job.started)}`);
  if (job.started !== null && job.ended !== null) {
    words.push(`took ${duration((Date.parse(job.ended) - Date.parse(job.started)) / 1000)}`);
  }
  if (job.attempts > 1) words.push(`attempt ${job.attempts}`);
  if (job.executor !== 'local') words.push(`executor ${job.executor}`);
  return <p class="note">{words.join(' · ')}</p>;
}
