import type { JSX } from 'preact';
import { isFinal } from '../api/follow-job.js';
import { ApiError } from '../api/request.js';
import { explain, Problem } from '../common/notice.js';
import { Listing } from '../common/scrolled.js';
import { StateBadge } from '../common/state-badge.js';
import { JobActions } from './actions.js';
import { Artifacts } from './artifacts.js';
import { useJob } from './follow.js';
import { LiveProgress } from './live-progress.js';
import { LogTail } from './log-tail.js';
import { Parts } from './parts.js';
import { PlanSection } from './plan.js';
import { Quarantined } from './quarantined.js';
import { Report } from './report.js';
import { JobTimes, Totals } from './totals.js';

export function JobPage({ id }: { readonly id: string }): JSX.Element {
  const { view, error, accept } = useJob(id);
  const { job } = view;
  if (job === null) {
    if (error === null) {
      return (
        <>
          <h1>Job</h1>
          <p role="status">{view.connection === 'lost' ? 'Waiting for the service…' : 'Loading…'}</p>
        </>
      );
    }
    const missing = error instanceof ApiError && error.status === 404;
    return (
      <>
        <h1>{missing ? 'No such job' : 'This job cannot be shown'}</h1>
        {!missing && <Problem>{explain(error)}</Problem>}
        <p>
          {missing && 'It may have been deleted. '}
          <a href="#/jobs">All jobs</a>
        </p>
      </>
    );
  }
  const active = !isFinal(job.state);
  return (
    <>
      <p class="crumb">
        <a href="#/jobs">Jobs</a>
      </p>
      <div class="title-row">
        <h1>{job.name}</h1>
        <StateBadge state={job.state} />
      </div>
      <JobTimes job={job} />
      {job.error !== null && <Problem>{job.error}</Problem>}
      <LiveProgress job={job} connection={view.connection} />
      <JobActions job={job} onJob={accept} />
      {job.totals !== null && <Totals totals={job.totals} />}
      {job.has_report && <Report id={id} />}
      <Quarantined id={id} active={active} />
      <Parts id={id} active={active} />
      <LogTail lines={view.lines} />
      <Artifacts id={id} active={active} />
      {job.plan !== null && <PlanSection plan={job.plan} />}
      <section aria-labelledby="pipeline-title">
        <h2 id="pipeline-title">Pipeline</h2>
        <Listing label="Pipeline as it was submitted" text={job.pipeline} />
      </section>
    </>
  );
}
