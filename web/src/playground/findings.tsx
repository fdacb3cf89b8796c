import type { JSX } from 'preact';
import type { Finding } from '#tokensieve/select/diagnosis/finding.js';
import { Icon } from '../common/icon.js';

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** What speaks against the selection. There from the start, so that what comes into it is read out. */
export const Findings = ({ findings }: { readonly findings: readonly Finding[] }): JSX.Element => (
  <div class="findings" role="status">
    {findings.map(({ code, message, advice }) => (
      <p class="problem" key={code}>
        <Icon name="warning" />
        <span>
          <strong>Take care:</strong> {message}. {capital(advice)}.
        </span>
      </p>
    ))}
  </div>
);
