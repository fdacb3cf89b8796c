import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { isFinal } from '../api/follow-job.js';
import { getJson } from '../api/request.js';
import type { JobList as Answer, JobState } from '../api/types.js';
import { explain, Problem } from '../common/notice.js';
import { usePolled } from '../common/polled.js';
import { stateWord } from '../common/state-badge.js';
import { JobList } from './job-list.js';
import { SubmitForm } from './submit.js';

const PAGE_SIZE = 20;
const FILTERS: readonly JobState[] = ['running', 'queued', 'done', 'quarantined', 'failed', 'cancelled'];

function addressOf(state: JobState | '', before: string | null): string {
  const query = new URLSearchParams({ limit: String(PAGE_SIZE) });
  if (state !== '') query.set('state', state);
  if (before !== null) query.set('before', before);
  return `/v1/jobs?${query}`;
}

const Newcomer = (): JSX.Element => (
  <section class="newcomer" aria-labelledby="newcomer-title">
    <h2 id="newcomer-title">No jobs yet</h2>
    <p>
      A job reads a corpus under two models and keeps some of its tokens to train on: those on which the
      reference is furthest ahead of the current model.
    </p>
    <ol>
      <li>Put shards and models below the folder that the service was given as its root.</li>
      <li>Change the paths in the example below, then press Plan: it says what the job would cost.</li>
      <li>Press Start. You can close this page; the job goes on, also after a restart of the service.</li>
    </ol>
    <p>
      Or paste a text into the <a href="#/playground">playground</a> and see which of its tokens would be
      kept.
    </p>
  </section>
);

export function JobsPage(): JSX.Element {
  const [state, setState] = useState<JobState | ''>('');
  // Where the pages before this one began: the way back.
  const [trail, setTrail] = useState<readonly (string | null)[]>([null]);
  const [opened, setOpened] = useState(false);
  const address = addressOf(state, trail.at(-1) ?? null);
  const { data, error, refresh } = usePolled<Answer>(
    address,
    (signal) => getJson(address, signal),
    (answer) => (answer === null || answer.jobs.some((job) => !isFinal(job.state)) ? 2000 : 10_000),
  );
  const empty = data !== null && data.jobs.length === 0 && state === '' && trail.length === 1;

  return (
    <>
      <div class="title-row">
        <h1>Jobs</h1>
        {!empty && data !== null && (
          <button
            type="button"
            class={opened ? '' : 'primary'}
            aria-expanded={opened}
            onClick={() => setOpened(!opened)}
          >
            {opened ? 'Close the form' : 'New job'}
          </button>
        )}
      </div>
      {error !== null && (
        <div class="with-button">
          <Problem>{explain(error)}</Problem>
          <button type="button" onClick={refresh}>
            Try again
          </button>
        </div>
      )}
      {empty && <Newcomer />}
      {(empty || opened) && <SubmitForm />}
      {data !== null && !empty && (
        <section aria-labelledby="list-title">
          <div class="label-row">
            <h2 id="list-title">Newest first</h2>
            <label>
              Show{' '}
              <select
                value={state}
                onChange={(event) => {
                  setState(event.currentTarget.value as JobState | '');
                  setTrail([null]);
                }}
              >
                <option value="">all</option>
                {FILTERS.map((one) => (
                  <option key={one} value={one}>
                    {stateWord(one).toLowerCase()}
                  </option>
                ))}
              </select>
            </label>
          </div>
          {data.jobs.length === 0 ? <p>None of these.</p> : <JobList jobs={data.jobs} />}
          {(trail.length > 1 || data.next !== null) && (
            <nav class="buttons" aria-label="Pages of jobs">
              <button
                type="button"
                disabled={trail.length === 1}
                onClick={() => setTrail(trail.slice(0, -1))}
              >
                Newer
              </button>
              <button
                type="button"
                disabled={data.next === null}
                onClick={() => data.next !== null && setTrail([...trail, data.next])}
              >
                Older
              </button>
            </nav>
          )}
        </section>
      )}
      {data === null && error === null && <p role="status">Loading…</p>}
    </>
  );
}
