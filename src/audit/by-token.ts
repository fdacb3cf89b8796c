import type { TokenClass } from '../texts/token-class.js';
import type { TokenTexts } from '../texts/token-texts.js';
import type { EligibleTokens } from './eligible.js';
import { createGroupSums, type GroupSums, type Measured } from './group-sums.js';
import { drawOf, type TokenPlace } from './place.js';
import type { KeptBy } from './report.js';

/** Places that are remembered of each token id. */
export const EXAMPLES = 3;
/** Ids from here on are counted together: memory is bounded whatever a file says. */
const MAX_IDS = 1 << 20;
/** Numbers a place: part, batch, row, position. */
const PLACE = 4;
const NO_DRAW = 0x7fff_ffff;

/** Counts and sums by token id, and a sample of each id's places: the ones with the smallest draws. */
export interface ByToken {
  /**
   * Adds the tokens of one document, [from, to).
   * @param nth eligible tokens of the document before `from` · @param seed of the shard
   */
  add(tokens: EligibleTokens, span: TokenSpan, place: Pick<TokenPlace, 'part' | 'batch'>): void;
  /** Ids that occur, with their sums. */
  readonly sums: GroupSums;
  /** One more than the largest id that is counted by itself. */
  size(): number;
  places(id: number): TokenPlace[];
}

export interface TokenSpan {
  readonly from: number;
  readonly to: number;
  readonly document: number;
  readonly nth: number;
  readonly seed: number;
}

export function createByToken(): ByToken {
  const sums = createGroupSums(1 << 12);
  let draws = new Int32Array(0);
  /** The largest of the draws that are kept of each id. */
  let limits = new Int32Array(0);
  let places = new Int32Array(0);
  let size = 0;

  const grow = (): void => {
    const [oldDraws, oldLimits, oldPlaces] = [draws, limits, places];
    draws = new Int32Array(sums.size * EXAMPLES).fill(NO_DRAW);
    limits = new Int32Array(sums.size).fill(NO_DRAW);
    places = new Int32Array(sums.size * EXAMPLES * PLACE);
    draws.set(oldDraws);
    limits.set(oldLimits);
    places.set(oldPlaces);
  };
  grow();

  /** Puts a place in the slot of the largest draw of its id. */
  const remember = (id: number, draw: number, place: readonly [number, number, number, number]): void => {
    let slot = id * EXAMPLES;
    for (let s = slot; s < (id + 1) * EXAMPLES; s++) {
      if ((draws[s] as number) > (draws[slot] as number)) slot = s;
    }
    draws[slot] = draw;
    places.set(place, slot * PLACE);
    limits[id] = Math.max(...draws.subarray(id * EXAMPLES, (id + 1) * EXAMPLES));
  };
  let groups = new Int32Array(0);

  return {
    sums,
    size: () => size,
    add(tokens, { from, to, document, nth, seed }, { part, batch }) {
      const { ids, row, position } = tokens;
      if (groups.length < tokens.count) groups = new Int32Array(tokens.count);
      let largest = -1;
      for (let i = from; i < to; i++) {
        const id = Math.min(ids[i] as number, MAX_IDS);
        groups[i] = id;
        if (id > largest) largest = id;
      }
      if (largest >= sums.size) {
        sums.grow(largest + 1);
        grow();
      }
      if (largest >= size) size = largest + 1;
      sums.addEach(tokens, groups, from, to);
      const [ids32, most] = [groups, limits];
      for (let i = from; i < to; i++) {
        const draw = drawOf(seed, document, nth + i - from);
        const id = ids32[i] as number;
        // Almost always false: a place is kept only while it is among the three smallest draws of its id.
        if (draw < (most[id] as number)) {
          remember(id, draw, [part, batch, row[i] as number, position[i] as number]);
        }
      }
    },
    places(id) {
      return Array.from({ length: EXAMPLES }, (_, s) => id * EXAMPLES + s)
        .filter((slot) => draws[slot] !== undefined && draws[slot] !== NO_DRAW)
        .sort((a, b) => (draws[a] as number) - (draws[b] as number))
        .map((slot) => {
          const [part = 0, batch = 0, row = 0, position = 0] = places.subarray(
            slot * PLACE,
            (slot + 1) * PLACE,
          );
          return { part, batch, row, position };
        });
    },
  };
}

/** Ids from 2^20 on are no tokens of their own. */
export const isOwnId = (id: number): boolean => id < MAX_IDS;

/** Kept share by token class, from the sums of the ids; most frequent first. */
export function byTokenClass(byToken: ByToken, texts: TokenTexts, measured: Measured): KeptBy {
  const classes = new Map<TokenClass, number>();
  const sums = createGroupSums(16);
  for (let id = 0; id < byToken.size(); id++) {
    if (byToken.sums.eligible(id) === 0) continue;
    const name = isOwnId(id) ? texts.classOf(id) : 'control';
    const group = classes.get(name) ?? classes.size;
    classes.set(name, group);
    sums.addGroup(group, byToken.sums, id);
  }
  const groups = [...classes]
    .map(([name, group]) => ({ name, low: null, high: null, ...sums.figures(group, measured) }))
    .sort((a, b) => b.eligible - a.eligible);
  return {
    by: 'token_class',
    label: 'class of the token, by its own text',
    ordered: false,
    groups,
    groups_total: groups.length,
    others: null,
  };
}
