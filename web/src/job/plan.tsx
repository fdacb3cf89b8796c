import type { JSX } from 'preact';
import { Listing } from '../common/scrolled.js';
import { planFacts } from './plan-facts.js';

/** What was reckoned before the job began, in short. */
export function PlanSection({ plan }: { readonly plan: Readonly<Record<string, unknown>> }): JSX.Element {
  const facts = planFacts(plan);
  return (
    <section aria-labelledby="plan-title">
      <h2 id="plan-title">Plan</h2>
      {facts.length > 0 && (
        <dl class="facts">
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      )}
      <details>
        <summary>All of the plan</summary>
        <Listing label="All of the plan" text={JSON.stringify(plan, null, 2)} />
      </details>
    </section>
  );
}
