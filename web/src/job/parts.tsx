import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { JobPart, PartsPage } from '../api/types.js';
import { count, duration } from '../common/format.js';
import { Icon, type IconName } from '../common/icon.js';
import { explain, Problem } from '../common/notice.js';
import { Scrolled } from '../common/scrolled.js';
import { type JobDataProps, useJobData } from './job-data.js';

const PAGE = 100;
const ICONS: Readonly<Record<JobPart['state'], IconName>> = {
  done: 'done',
  running: 'running',
  waiting: 'waiting',
};
const WORDS: Readonly<Record<JobPart['state'], string>> = {
  done: 'done',
  running: 'in work',
  waiting: 'waiting',
};

const cell = (value: number | null | undefined): string =>
  value === null || value === undefined ? '–' : count(value);

/** Every part and its state. */
export function Parts({ id, active }: JobDataProps): JSX.Element | null {
  const [shown, setShown] = useState(PAGE);
  const { data: answer, error } = useJobData<PartsPage>(id, 'parts', active);
  if (answer === null) return error === null ? null : <Problem>{explain(error)}</Problem>;
  return (
    <section aria-labelledby="parts-title">
      <h2 id="parts-title">Parts</h2>
      {answer.parts.length === 0 ? (
        <p class="note">None yet: they are listed when the inputs have been read.</p>
      ) : (
        <Scrolled label="Table of parts">
          <table>
            <thead>
              <tr>
                <th scope="col">State</th>
                <th scope="col">Shard</th>
                <th scope="col" class="number">
                  Part
                </th>
                <th scope="col">Files</th>
                <th scope="col" class="number">
                  Documents
                </th>
                <th scope="col" class="number">
                  Tokens
                </th>
                <th scope="col" class="number">
                  Kept
                </th>
                <th scope="col" class="number">
                  Rows set aside
                </th>
                <th scope="col" class="number">
                  Time
                </th>
              </tr>
            </thead>
            <tbody>
              {answer.parts.slice(0, shown).map((part) => (
                <tr key={`${part.kind} ${part.shard} ${part.part}`}>
                  <td class={`part-${part.state}`}>
                    <Icon name={ICONS[part.state]} /> {WORDS[part.state]}
                  </td>
                  <td class="path">{part.shard}</td>
                  <td class="number">{part.part}</td>
                  <td>{part.kind}</td>
                  <td class="number">{cell(part.documents)}</td>
                  <td class="number">{cell(part.tokens)}</td>
                  <td class="number">{cell(part.kept)}</td>
                  <td class="number">{cell(part.quarantined_rows)}</td>
                  <td class="number">
                    {part.seconds === null || part.seconds === undefined ? '–' : duration(part.seconds)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scrolled>
      )}
      {answer.parts.length > shown && (
        <button type="button" onClick={() => setShown(shown + 10 * PAGE)}>
          Show more of {count(answer.total)} parts
        </button>
      )}
    </section>
  );
}
