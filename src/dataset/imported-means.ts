import { isJsonObject, type JsonObject } from '../json/canonical-json.js';

/**
 * The loss columns in which every token has its row's or document's mean, as `import --means spread` leaves them; losses of
 * others are each token's own.
 * @param recipe of a scored part, or of a weighted one
 */
export function meansColumns(recipe: JsonObject): ReadonlySet<string> {
  const scored = isJsonObject(recipe['scored']) ? recipe['scored'] : recipe;
  const columns = new Set<string>();
  // An import into an imported run holds what was imported before.
  for (let one = scored['import']; isJsonObject(one); one = one['before']) {
    if (one['means'] === 'spread') columns.add(`${String(one['as'])}_loss`);
  }
  return columns;
}
