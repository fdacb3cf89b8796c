import type { Manifest } from '../dataset/manifest.js';

/** Sums over the manifests of a run's parts. */
export interface Totals {
  readonly parts: number;
  readonly documents: number;
  /** UTF-8 bytes. */
  readonly textBytes: number;
  readonly sequences: number;
  readonly tokens: number;
  readonly eligible: number;
  readonly kept: number;
  readonly quarantinedRows: number;
  readonly quarantined: Readonly<Record<string, number>>;
}

/** As much of a manifest as sums need. */
export type Counted = Pick<Manifest, 'counts'>;

export function totalsOf(manifests: readonly Counted[]): Totals {
  const quarantined: Record<string, number> = {};
  for (const { counts } of manifests) {
    for (const [reason, rows] of Object.entries(counts.quarantined)) {
      quarantined[reason] = (quarantined[reason] ?? 0) + rows;
    }
  }
  const sum = (value: (counts: Manifest['counts']) => number | undefined): number =>
    manifests.reduce((total, { counts }) => total + (value(counts) ?? 0), 0);
  return {
    parts: manifests.length,
    documents: sum((c) => c.documents),
    textBytes: sum((c) => c.text_bytes),
    sequences: sum((c) => c.sequences),
    tokens: sum((c) => c.tokens),
    eligible: sum((c) => c.eligible),
    kept: sum((c) => c.kept),
    quarantinedRows: sum((c) => c.quarantined_rows),
    quarantined,
  };
}
