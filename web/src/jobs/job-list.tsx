import type { JSX } from 'preact';
import type { JobSummary } from '../api/types.js';
import { dateAndTime, duration } from '../common/format.js';
import { ProgressBar } from '../common/progress-bar.js';
import { progressWords, shareDone } from '../common/progress-words.js';
import { StateBadge } from '../common/state-badge.js';
import { jobHref } from '../route.js';

const isActive = ({ state }: JobSummary): boolean => state === 'running' || state === 'cancelling';

/** What there is to say of a job that is over. */
function outcome({ started, ended, error, state }: JobSummary): string {
  const words: string[] = [];
  if (started !== null && ended !== null) {
    const seconds = (Date.parse(ended) - Date.parse(started)) / 1000;
    words.push(`took ${duration(seconds)}`);
  }
  if (state === 'failed' && error !== null) words.push(error);
  return words.join(' · ');
}

function JobRow({ job }: { readonly job: JobSummary }): JSX.Element {
  const active = isActive(job);
  return (
    <li class="job">
      <div class="job-head">
        <a class="job-name" href={jobHref(job.id)}>
          {job.name}
        </a>
        <StateBadge state={job.state} />
      </div>
      {active && <ProgressBar label={`Progress of ${job.name}`} share={shareDone(job.progress)} />}
      <p class="job-words">
        <span>{active || job.state === 'queued' ? progressWords(job) : outcome(job)}</span>
        <time dateTime={job.submitted}>{dateAndTime(job.submitted)}</time>
      </p>
    </li>
  );
}

export const JobList = ({ jobs }: { readonly jobs: readonly JobSummary[] }): JSX.Element => (
  <ul class="jobs">
    {jobs.map((job) => (
      <JobRow key={job.id} job={job} />
    ))}
  </ul>
);
