import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { isFinal } from '../api/follow-job.js';
import type { JobDetail } from '../api/types.js';
import { brief, count, duration, percent } from '../common/format.js';
import { ProgressBar } from '../common/progress-bar.js';
import { secondsLeft, shareDone, unitOf } from '../common/progress-words.js';
import { stateWord } from '../common/state-badge.js';
import type { JobView } from './job-state.js';

const SPEAK_EVERY = 15_000;

/** What a screen reader hears: every change of state at once, progress at most every 15 seconds. */
function useSpoken(job: JobDetail): string {
  const share = shareDone(job.progress);
  const words =
    isFinal(job.state) || share === null
      ? stateWord(job.state)
      : `${stateWord(job.state)}, ${percent(share)} done`;
  const [spoken, setSpoken] = useState(words);
  const last = useRef({ at: 0, state: job.state });
  useEffect(() => {
    const now = Date.now();
    if (job.state === last.current.state && now - last.current.at < SPEAK_EVERY) return;
    last.current = { at: now, state: job.state };
    setSpoken(words);
  }, [words, job.state]);
  return spoken;
}

const CONNECTIONS: Readonly<Record<JobView['connection'], string>> = {
  connecting: 'connecting…',
  live: 'live',
  polling: 'asking every few seconds',
  lost: 'connection lost, trying again…',
};

const Fact = ({ name, value }: { readonly name: string; readonly value: string }): JSX.Element => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

/** The job in work: how far, how fast, how long. */
export function LiveProgress({
  job,
  connection,
}: {
  readonly job: JobDetail;
  readonly connection: JobView['connection'];
}): JSX.Element {
  const { progress } = job;
  const share = shareDone(progress);
  const left = secondsLeft(progress);
  const spoken = useSpoken(job);
  const over = isFinal(job.state);
  return (
    <section class="live" aria-label="Progress">
      <p class="spoken" aria-live="polite">
        {spoken}
      </p>
      {!over && (
        <>
          <ProgressBar label="Progress" share={job.state === 'queued' ? 0 : share} />
          <dl class="facts">
            <Fact name="Done" value={share === null ? '–' : percent(share, 1)} />
            <Fact
              name={unitOf(progress) === 'parts' ? 'Parts' : 'Steps'}
              value={progress.parts > 0 ? `${progress.parts_done} of ${progress.parts}` : '–'}
            />
            <Fact name="Tokens" value={count(progress.tokens)} />
            <Fact
              name="Tokens a second"
              value={progress.tokens_per_second === null ? '–' : brief(progress.tokens_per_second)}
            />
            <Fact name="Time left" value={left === null ? '–' : duration(left)} />
            {job.state === 'queued' && job.position !== null && (
              <Fact name="Place in line" value={String(job.position)} />
            )}
          </dl>
          <p class={`note connection connection-${connection}`}>Updates: {CONNECTIONS[connection]}</p>
        </>
      )}
      {progress.stages.length > 1 && <Stages job={job} />}
    </section>
  );
}

function Stages({ job }: { readonly job: JobDetail }): JSX.Element {
  const { stages, stage } = job.progress;
  const at = stage === null ? -1 : stages.indexOf(stage);
  const finished = job.state === 'done' || job.state === 'quarantined';
  return (
    <ol class="stages" aria-label="Stages">
      {stages.map((name, index) => {
        const state = finished || index < at ? 'done' : index === at ? 'now' : 'later';
        const word = { done: 'done', now: isFinal(job.state) ? 'stopped here' : 'in work', later: 'waiting' }[
          state
        ];
        return (
          <li
            key={name}
            class={`stage stage-${state}`}
            {...(state === 'now' ? { 'aria-current': 'step' } : {})}
          >
            {name} <span class="note">{word}</span>
          </li>
        );
      })}
    </ol>
  );
}
