/** JSON objects that carry their own digest: a flipped bit that leaves them JSON of the right shape does not leave it right. */
import { hashJson, type JsonObject } from './canonical-json.js';

/** The member that holds the digest. */
const DIGEST = 'digest';

/** The object with the digest of everything else in it. */
export const sealed = (content: JsonObject): JsonObject => ({ ...content, [DIGEST]: hashJson(content) });

/** Whether an object has a digest that is not that of its content. One without is of an early version, or of somebody else. */
export function isBroken(value: JsonObject): boolean {
  const { [DIGEST]: digest, ...content } = value;
  return digest !== undefined && digest !== hashJson(content);
}
