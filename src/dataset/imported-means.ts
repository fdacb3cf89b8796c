import { isJsonObject, type JsonObject } from './canonical-json.js';

/**
 * The loss column in which every token has its row's or document's mean, as `import --means spread` leaves it; null where
 * losses are each token's own.
 * @param recipe of a scored part, or of a weighted one
 */
export function meansColumn(recipe: JsonObject): string | null {
  const scored = isJsonObject(recipe['scored']) ? recipe['scored'] : recipe;
  const imported = scored['import'];
  if (!isJsonObject(imported)) return null;
  if (imported['means'] === 'spread') return `${String(imported['as'])}_loss`;
  // Of an import into an imported run.
  return isJsonObject(imported['before']) ? meansColumn({ import: imported['before'] }) : null;
}
