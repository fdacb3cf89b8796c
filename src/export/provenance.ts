import type { JsonObject } from '../json/canonical-json.js';
import type { FinishedExport } from './format.js';

/** Where the numbers come from, by hash: nothing that depends on the machine. */
export interface Provenance {
  readonly kind: string;
  readonly fingerprint: string;
  readonly tokenizer: string;
  readonly models: JsonObject;
  readonly method: string | null;
  readonly conventions: JsonObject;
  readonly threshold: number | null;
}

export function provenanceOf({ source, settings, fingerprint }: FinishedExport): Provenance {
  const method = source.conventions['method'];
  return {
    kind: source.kind,
    fingerprint,
    tokenizer: source.rules.tokenizer.hash,
    models: source.recipe.rows.models,
    method: typeof method === 'string' ? method : null,
    conventions: source.conventions,
    threshold: settings.threshold ?? null,
  };
}

/** What a token's weight is, in a sentence. */
export function weightWords({ kind, method, threshold }: Provenance): string {
  const rule =
    kind === 'scored'
      ? '1 for every target: the files were scored, nothing was selected'
      : kind === 'packed'
        ? '1 for every target: the files were packed for training on every token'
        : `given by the method \`${method ?? 'unknown'}\``;
  return threshold === null ? rule : `${rule}; then 1 where it was at least ${threshold}, else 0`;
}
