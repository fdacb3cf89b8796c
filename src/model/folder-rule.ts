/** A rule that tells one kind of folder by the names in it, and the words that rules share. */
import type { FolderListing } from './folder-listing.js';

/** What was found and what would take it; null where this is not the kind. */
export type Rule = readonly [
  code: string,
  says: (listing: FolderListing) => string | null | Promise<string | null>,
];

export const expected = 'expected config.json and model.safetensors, or an ONNX export';

/** Names in a sentence: the first two, and how many more there are. */
export function named(names: readonly string[]): string {
  const shown = names.slice(0, 2).join(', ');
  return names.length > 2 ? `${shown} and ${names.length - 2} more` : shown;
}

/** A rule that speaks where files have names like these. */
export const filesLike =
  (pattern: RegExp, says: (found: string, listing: FolderListing) => string) =>
  (listing: FolderListing): string | null => {
    const found = listing.files.filter((name) => pattern.test(name));
    return found.length === 0 ? null : says(named(found), listing);
  };

/** Files of a trainer that lie beside weights and are none. */
export const besideWeights =
  /^(optimizer|scheduler|scaler|rng_state.*|training_args)\.(pt|pth|bin)$|^trainer_state\.json$/;
