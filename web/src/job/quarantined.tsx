import type { JSX } from 'preact';
import type { Quarantine } from '../api/types.js';
import { count } from '../common/format.js';
import { explain, Problem } from '../common/notice.js';
import { Scrolled } from '../common/scrolled.js';
import { type JobDataProps, useJobData } from './job-data.js';

const SHOWN = 100;

/** Rows that could not be used, by reason, with the first of them. Nothing when there are none. */
export function Quarantined({ id, active }: JobDataProps): JSX.Element | null {
  const { data, error } = useJobData<Quarantine>(id, `quarantine?limit=${SHOWN}`, active);
  if (data === null && error !== null) return <Problem>{explain(error)}</Problem>;
  if (data === null || data.total === 0) return null;
  return (
    <section aria-labelledby="quarantine-title">
      <h2 id="quarantine-title">Set aside: {count(data.total)}</h2>
      <p class="note">What could not be used, and why. All else was processed.</p>
      <ul class="reasons">
        {Object.entries(data.reasons).map(([reason, total]) => (
          <li key={reason}>
            <strong>{count(total)}</strong> {reason}
          </li>
        ))}
      </ul>
      {data.rows.length > 0 && (
        <Scrolled label="Rows set aside">
          <table>
            <thead>
              <tr>
                <th scope="col">Shard</th>
                <th scope="col" class="number">
                  Row
                </th>
                <th scope="col">Reason</th>
                <th scope="col">Detail</th>
              </tr>
            </thead>
            <tbody>
              {data.rows.map((row, index) => (
                <tr key={index}>
                  <td class="path">{row.shard}</td>
                  <td class="number">{row.row ?? '–'}</td>
                  <td>{row.reason}</td>
                  <td class="detail">{row.detail ?? ''}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scrolled>
      )}
      {data.total > data.rows.length && <p class="note">The first {count(data.rows.length)} are shown.</p>}
    </section>
  );
}
