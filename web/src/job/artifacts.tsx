import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { ArtifactList } from '../api/types.js';
import { bytes, count } from '../common/format.js';
import { explain, Problem } from '../common/notice.js';
import { type JobDataProps, useJobData } from './job-data.js';
import { openArtifact } from './ticket.js';

const PAGE = 50;

/** The job's files with their sizes; a click opens or downloads one. */
export function Artifacts({ id, active }: JobDataProps): JSX.Element | null {
  const { data, error } = useJobData<ArtifactList>(id, 'artifacts', active);
  const [shown, setShown] = useState(PAGE);
  const [problem, setProblem] = useState<string | null>(null);
  if (data === null) return error === null ? null : <Problem>{explain(error)}</Problem>;
  if (data.files.length === 0) return null;
  const open = (path: string): void => {
    setProblem(null);
    openArtifact(id, path).catch((refused: unknown) => setProblem(explain(refused as Error)));
  };
  const all = data.files.reduce((sum, file) => sum + file.bytes, 0);
  return (
    <section aria-labelledby="artifacts-title">
      <h2 id="artifacts-title">Files</h2>
      <p class="note">
        {count(data.files.length)} files, {bytes(all)}
        {data.truncated && '; there are more than are listed'}
      </p>
      {problem !== null && <Problem>{problem}</Problem>}
      <ul class="files">
        {data.files.slice(0, shown).map((file) => (
          <li key={file.path}>
            <button type="button" class="link path" onClick={() => open(file.path)}>
              {file.path}
            </button>
            <span class="number">{bytes(file.bytes)}</span>
          </li>
        ))}
      </ul>
      {data.files.length > shown && (
        <button type="button" onClick={() => setShown(shown + 10 * PAGE)}>
          Show more
        </button>
      )}
    </section>
  );
}
