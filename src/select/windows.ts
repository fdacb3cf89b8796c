import { usageError } from '../errors.js';
import type { PartSource } from './part-source.js';
import type { Scope } from './scope.js';
import { placeOf } from './tokens.js';

/** Tells, row after row of a part, whether the row begins a new window. */
export type WindowCutter = (rowTokens: number, row: bigint | number) => boolean;

/**
 * Windows are whole rows: a row joins the open window while the window stays within its tokens, all
 * positions of a row counted. Scope `sequence` is the case where every row is a window of its own.
 * @throws usage `window-too-small` from the cutter, for a row that is longer than a window.
 */
export function windowCutter(scope: Scope, source: PartSource): WindowCutter {
  const limit = scope.kind === 'window' ? scope.tokens : 0;
  let filled = 0;
  let open = false;
  return (rowTokens, row) => {
    if (scope.kind === 'window' && rowTokens > limit) {
      throw usageError(
        'window-too-small',
        `${placeOf(source)} row ${row} has ${rowTokens} tokens, more than scope window:${limit} holds; use window:${rowTokens} or larger, or sequence`,
      );
    }
    const fresh = open && filled + rowTokens > limit;
    filled = fresh ? rowTokens : filled + rowTokens;
    open = true;
    return fresh;
  };
}
