import type { JSX } from 'preact';
import type { JobState } from '../api/types.js';
import { Icon, type IconName } from './icon.js';

const STATES: Readonly<
  Record<JobState, { readonly icon: IconName; readonly word: string; readonly why: string }>
> = {
  queued: { icon: 'waiting', word: 'Waiting', why: 'It starts when the jobs before it are done.' },
  running: { icon: 'running', word: 'Running', why: 'It is in work.' },
  cancelling: { icon: 'stopping', word: 'Cancelling', why: 'It stops after the batch in work.' },
  done: { icon: 'done', word: 'Done', why: 'Everything was processed.' },
  quarantined: {
    icon: 'partly',
    word: 'Done, some rows set aside',
    why: 'Rows that could not be used were quarantined; all others were processed.',
  },
  failed: {
    icon: 'failed',
    word: 'Failed',
    why: 'It stopped at an error. Parts that were finished are kept.',
  },
  cancelled: {
    icon: 'cancelled',
    word: 'Cancelled',
    why: 'It was stopped. Parts that were finished are kept.',
  },
};

export const stateWord = (state: JobState): string => STATES[state].word;

export function StateBadge({ state }: { readonly state: JobState }): JSX.Element {
  const { icon, word, why } = STATES[state];
  return (
    <span class={`badge badge-${state}`} title={why}>
      <Icon name={icon} /> {word}
    </span>
  );
}
