import { describe, expect, it } from 'vitest';
import type { Curve } from '#tokensieve/report/curves.js';
import { heldOutSection } from '#tokensieve/report/held-out.js';
import type { Arm } from '#tokensieve/report/read-runs.js';
import { sectionText } from '#tokensieve/report/section.js';

const curve = (...losses: readonly number[]): Curve =>
  losses.map((loss, i) => ({ step: 10 * i, tokens: 10_000 * i, loss }));
const arm = (name: string, ...curves: readonly Curve[]): Arm => ({
  name,
  folders: curves.map((_, i) => `${name}-${i}`),
  heldOut: new Map([['clean', curves]]),
});
const section = (slm: readonly Curve[], clm: readonly Curve[]) =>
  heldOutSection('clean', [arm('SLM', ...slm), arm('CLM', ...clm)], 'CLM');

describe('the section of a held-out set', () => {
  const ahead = section([curve(5, 3, 2), curve(5, 3.5, 2.5)], [curve(5, 4, 3), curve(5, 4, 3.2)]);

  it('has the loss of each arm at each measured step, the baseline first', () => {
    expect(sectionText(ahead).split('\n').slice(0, 5)).toEqual([
      'Held-out loss, clean (nats a token)',
      '  tokens  CLM (mean ± sd of 2)  SLM (mean ± sd of 2)',
      '       0         5.000 ± 0.000         5.000 ± 0.000',
      '  10,000         4.000 ± 0.000         3.250 ± 0.354',
      '  20,000         3.100 ± 0.141         2.250 ± 0.354',
    ]);
  });

  it('says by how much the arm is ahead, and how many tokens it takes', () => {
    expect(ahead.notes).toEqual([
      'At 20,000 tokens SLM is ahead of CLM by 0.850 nats (−1.000 to −0.700; ahead in 2 of 2 runs).',
      "SLM reaches CLM's loss at the end (3.100) after 11,500 tokens: CLM takes 1.77 times as many (1.54 to 2.00).",
    ]);
  });

  it('says first and plainly when the arm is not ahead', () => {
    expect(section([curve(5, 4.5, 4.25)], [curve(5, 4, 3)]).notes).toEqual([
      'SLM is NOT ahead of CLM: at 20,000 tokens it is behind by 1.250 nats.',
      "SLM does not reach CLM's loss at the end (3.000).",
    ]);
    expect(section([curve(5, 4)], [curve(5, 4)]).notes[0]).toMatch(/NOT ahead of CLM: .* it is level/);
  });

  it('says in how many runs the loss was reached', () => {
    const notes = section([curve(5, 3, 2), curve(5, 4, 4)], [curve(5, 4, 3), curve(5, 4, 3)]).notes;
    expect(notes[1]).toMatch(
      /in 1 of 2 runs, in those after 10,000 tokens: CLM takes 2\.00 times as many\.$/,
    );
  });

  it('draws a line for each run, and names each arm once', () => {
    expect(ahead.plot?.series.map(({ name, group }) => [name, group])).toEqual([
      ['CLM', 0],
      ['', 0],
      ['SLM', 1],
      ['', 1],
    ]);
    expect(ahead.plot?.series[2]?.points).toEqual([
      [0, 5],
      [10_000, 3],
      [20_000, 2],
    ]);
  });
});
