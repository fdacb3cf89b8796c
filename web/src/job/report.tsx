import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { Icon } from '../common/icon.js';
import { explain, Problem } from '../common/notice.js';
import { openInTab, reportAddress } from './ticket.js';

/** The audit's report: in a tab of its own, or here. It runs its scripts in a sandbox without this page's rights. */
export function Report({ id }: { readonly id: string }): JSX.Element {
  const [embedded, setEmbedded] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const fail = (error: unknown): void => setProblem(explain(error as Error));
  const show = async (): Promise<void> => {
    setProblem(null);
    if (embedded !== null) setEmbedded(null);
    else setEmbedded(await reportAddress(id));
  };
  return (
    <section aria-labelledby="report-title">
      <h2 id="report-title">Report</h2>
      <p class="note">What was kept, what was dropped and why, with documents to read.</p>
      <div class="buttons">
        <button
          type="button"
          class="primary"
          onClick={() => {
            setProblem(null);
            openInTab(() => reportAddress(id)).catch(fail);
          }}
        >
          Open the report <Icon name="outside" />
          <span class="spoken"> in a new tab</span>
        </button>
        <button type="button" aria-expanded={embedded !== null} onClick={() => void show().catch(fail)}>
          {embedded === null ? 'Show it here' : 'Hide it'}
        </button>
      </div>
      {problem !== null && <Problem>{problem}</Problem>}
      {embedded !== null && (
        <iframe class="report" title="Audit report" sandbox="allow-scripts" src={embedded} />
      )}
    </section>
  );
}
