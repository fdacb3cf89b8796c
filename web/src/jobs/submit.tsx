import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { ApiError, getJson, postJson } from '../api/request.js';
import type { Executors, JobDetail, Planned } from '../api/types.js';
import { explain, Problem } from '../common/notice.js';
import { usePolled } from '../common/polled.js';
import { Listing } from '../common/scrolled.js';
import { jobHref } from '../route.js';
import { type Draft, forgetDraft, loadDraft, saveDraft } from './draft.js';
import { EXAMPLE } from './example.js';
import { EXECUTOR_WORDS } from './executor-words.js';
import { fieldOf } from './refusal.js';

type Field = 'name' | 'pipeline';

interface Refusal {
  readonly field: Field | null;
  readonly message: string;
}

/** The form that plans and starts a job. */
export function SubmitForm(): JSX.Element {
  const [draft, setDraft] = useState(loadDraft);
  const [busy, setBusy] = useState<'plan' | 'start' | null>(null);
  const [planned, setPlanned] = useState<Planned | null>(null);
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const offered = usePolled<Executors>(
    'executors',
    (signal) => getJson('/v1/executors', signal),
    () => null,
  );
  const executors = offered.data?.executors ?? [];
  /** What is written down may be of another service. */
  const executor = executors.find((one) => one === draft.executor) ?? offered.data?.default;
  const fields = { name: useRef<HTMLInputElement>(null), pipeline: useRef<HTMLTextAreaElement>(null) };

  const change = (part: Partial<Draft>): void => {
    const next = { ...draft, ...part };
    setDraft(next);
    saveDraft(next);
    if (part.pipeline !== undefined) setPlanned(null);
    setRefusal(null);
  };

  const ask = async <T,>(what: 'plan' | 'start', path: string): Promise<T | null> => {
    setBusy(what);
    setRefusal(null);
    try {
      const name = draft.name.trim();
      return await postJson<T>(path, {
        ...(name === '' ? {} : { name }),
        ...(executor === undefined ? {} : { executor }),
        pipeline: draft.pipeline,
      });
    } catch (error) {
      const aboutInput = error instanceof ApiError && [400, 413, 415, 422].includes(error.status);
      const field = aboutInput ? fieldOf(error.message) : null;
      setRefusal({ field, message: explain(error as Error) });
      if (field !== null) fields[field].current?.focus();
      return null;
    } finally {
      setBusy(null);
    }
  };

  const plan = async (): Promise<void> => {
    setPlanned(null);
    setPlanned(await ask<Planned>('plan', '/v1/plans'));
  };
  const start = async (event: Event): Promise<void> => {
    event.preventDefault();
    const job = await ask<JobDetail>('start', '/v1/jobs');
    if (job === null) return;
    forgetDraft();
    location.hash = jobHref(job.id);
  };
  const problemOf = (field: Field): string | null => (refusal?.field === field ? refusal.message : null);

  return (
    <form class="submit" onSubmit={(event) => void start(event)} aria-labelledby="submit-title">
      <h2 id="submit-title">New job</h2>
      <label for="job-name">
        Name <span class="note">optional</span>
      </label>
      <input
        id="job-name"
        ref={fields.name}
        value={draft.name}
        maxLength={100}
        autocomplete="off"
        aria-invalid={problemOf('name') !== null}
        aria-describedby="job-name-problem"
        onInput={(event) => change({ name: event.currentTarget.value })}
      />
      <div id="job-name-problem">{problemOf('name') !== null && <Problem>{problemOf('name')}</Problem>}</div>

      <div class="label-row">
        <label for="job-pipeline">
          Pipeline <span class="note">YAML</span>
        </label>
        {draft.pipeline !== EXAMPLE && (
          <button type="button" class="quiet" onClick={() => change({ pipeline: EXAMPLE })}>
            Put the example back
          </button>
        )}
      </div>
      <textarea
        id="job-pipeline"
        ref={fields.pipeline}
        class="code"
        rows={18}
        required
        spellcheck={false}
        autocapitalize="off"
        autocomplete="off"
        value={draft.pipeline}
        aria-invalid={problemOf('pipeline') !== null}
        aria-describedby="job-pipeline-problem"
        onInput={(event) => change({ pipeline: event.currentTarget.value })}
      />
      <div id="job-pipeline-problem">
        {problemOf('pipeline') !== null && <Problem>{problemOf('pipeline')}</Problem>}
      </div>

      {executors.length > 1 && (
        <>
          <label for="job-executor">Executor</label>
          <select
            id="job-executor"
            value={executor}
            onChange={(event) => change({ executor: event.currentTarget.value })}
          >
            {executors.map((one) => (
              <option key={one} value={one}>
                {EXECUTOR_WORDS[one]}
              </option>
            ))}
          </select>
        </>
      )}

      <div class="buttons">
        <button type="button" disabled={busy !== null} onClick={() => void plan()}>
          {busy === 'plan' ? 'Planning…' : 'Plan'}
        </button>
        <button type="submit" class="primary" disabled={busy !== null}>
          {busy === 'start' ? 'Starting…' : 'Start'}
        </button>
        <span class="note">Plan shows what it would cost and starts nothing.</span>
      </div>
      {refusal !== null && refusal.field === null && <Problem>{refusal.message}</Problem>}
      <div aria-live="polite">
        {planned !== null && (
          <section class="planned" aria-label="Plan">
            <h3>What it would cost</h3>
            <Listing label="The plan" text={planned.text} />
          </section>
        )}
      </div>
    </form>
  );
}
