import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { jobPath, postJson, remove } from '../api/request.js';
import type { JobDetail } from '../api/types.js';
import { Confirm } from '../common/confirm.js';
import { explain, Problem } from '../common/notice.js';
import { actionsOf } from './job-state.js';

interface Props {
  readonly job: JobDetail;
  readonly onJob: (job: JobDetail) => void;
}

type Asked = 'cancel' | 'retry' | 'remove';

const QUESTIONS = {
  cancel: {
    title: 'Cancel this job?',
    confirm: 'Yes, cancel it',
    text: 'It stops soon. Parts that are finished are kept: a retry goes on from there.',
    dangerous: true,
  },
  retry: {
    title: 'Run this job again?',
    confirm: 'Yes, run it again',
    text: 'It goes to the end of the queue. Parts that are finished are not made again.',
    dangerous: false,
  },
  remove: {
    title: 'Delete this job?',
    confirm: 'Yes, delete it',
    text: 'Its folder is deleted with its scored and weighted files, log and report. This cannot be undone.',
    dangerous: true,
  },
} as const;

/** Cancel, retry and delete, each asked for once more. */
export function JobActions({ job, onJob }: Props): JSX.Element {
  const [asked, setAsked] = useState<Asked | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const allowed = actionsOf(job.state);

  const act = async (what: Asked): Promise<void> => {
    setBusy(true);
    setProblem(null);
    try {
      if (what === 'remove') {
        await remove(jobPath(job.id));
        location.hash = '#/jobs';
      } else {
        onJob(await postJson<JobDetail>(`${jobPath(job.id)}/${what}`, {}));
      }
    } catch (error) {
      setProblem(explain(error as Error));
    }
    setBusy(false);
  };
  const question = asked === null ? null : QUESTIONS[asked];

  return (
    <>
      <div class="buttons">
        {allowed.cancel && (
          <button type="button" disabled={busy} onClick={() => setAsked('cancel')}>
            Cancel
          </button>
        )}
        {allowed.retry && (
          <button type="button" disabled={busy} onClick={() => setAsked('retry')}>
            Retry
          </button>
        )}
        {allowed.remove && (
          <button type="button" disabled={busy} onClick={() => setAsked('remove')}>
            Delete
          </button>
        )}
      </div>
      {problem !== null && <Problem>{problem}</Problem>}
      {asked !== null && question !== null && (
        <Confirm
          title={question.title}
          confirm={question.confirm}
          dangerous={question.dangerous}
          onAnswer={(confirmed) => {
            setAsked(null);
            if (confirmed) void act(asked);
          }}
        >
          <p>{question.text}</p>
        </Confirm>
      )}
    </>
  );
}
