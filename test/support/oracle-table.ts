import { afterAll } from 'vitest';

/**
 * Collects rows for docs/parity.md, printed when the tests end if PARITY is set in the environment. Differences
 * are the largest of a case, in nats a token.
 */
export function parityTable(): (names: readonly string[], gaps: readonly number[]) => void {
  const lines: string[] = [];
  afterAll(() => {
    if (process.env['PARITY'] !== undefined) console.log(`\n${lines.join('\n')}`);
  });
  return (names, gaps) => {
    lines.push(`| ${[...names, ...gaps.map((gap) => gap.toExponential(1))].join(' | ')} |`);
  };
}
