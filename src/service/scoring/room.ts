/**
 * Room for tokens that wait, the bound on what a queue holds. A request takes its place before it is tokenized, by
 * an estimate, so that a full queue costs nothing but the refusal.
 */

/** A request's share of the room. */
export interface Place {
  /** Makes it larger or smaller; false, and unchanged, where there is no room for more. */
  resize(tokens: number): boolean;
  /** Gives it all back. Again does nothing. */
  release(): void;
}

export interface Room {
  readonly limit: number;
  /** Tokens taken. */
  held(): number;
  take(tokens: number): Place | null;
}

export function createRoom(limit: number): Room {
  let held = 0;
  return {
    limit,
    held: () => held,
    take(tokens) {
      if (held + tokens > limit) return null;
      let own = tokens;
      held += own;
      let released = false;
      const resize = (wanted: number): boolean => {
        if (released || (wanted > own && held + wanted - own > limit)) return false;
        held += wanted - own;
        own = wanted;
        return true;
      };
      return {
        resize,
        release: () => {
          resize(0);
          released = true;
        },
      };
    },
  };
}
