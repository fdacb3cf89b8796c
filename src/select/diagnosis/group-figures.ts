/** Tokens of a group of documents: of one source, or of one length. */
export interface GroupFigures {
  readonly name: string;
  readonly documents: number;
  /** Tokens with a loss. */
  readonly tokens: number;
  /** Sum of their weights. */
  readonly kept: number;
}

/** One way to put the documents into groups. */
export interface GroupAxis {
  /** `shard`, `host`, a column, or `document_tokens`. */
  readonly by: string;
  /** Lengths are no domains: they follow each other. */
  readonly domains: boolean;
  readonly groups: readonly GroupFigures[];
}

/** What is known of a document. */
export interface DocumentFacts {
  readonly tokens: number;
  /** Its name on each of the tally's axes, in their order. */
  readonly names: readonly string[];
}

/** Sums by group, a part at a time. */
export interface GroupTally {
  /** @param factsOf what the documents file says, by the document's row; null where it says nothing */
  begin(shard: string, factsOf: (document: number) => DocumentFacts | null): void;
  /** Adds a stretch of one document's tokens. */
  add(document: number, tokens: number, kept: number): void;
  /** The part is over: its documents go to their groups. */
  end(): void;
  axes(): readonly GroupAxis[];
}

/** Names counted by themselves on one axis; documents of later ones count in its sums alone. */
const MOST_NAMES = 100_000;
const OTHERS = '(others)';
const NOBODY: readonly string[] = [];

/**
 * @param axes what the documents' names stand for, beside their shard and their length, which are always grouped by.
 *   Memory: a counter a document of the part in work, and one a name.
 */
export function createGroupTally(axes: readonly string[]): GroupTally {
  const byName = axes.map((by) => ({ by, groups: createGroups() }));
  const byShard = createGroups();
  const byLength = createGroups();
  const part = new Map<number, { tokens: number; kept: number }>();
  let shardName = '';
  let facts: (document: number) => DocumentFacts | null = () => null;
  return {
    begin(shard, factsOf) {
      part.clear();
      shardName = shard;
      facts = factsOf;
    },
    add(document, tokens, kept) {
      if (tokens === 0) return;
      const known = part.get(document);
      if (known === undefined) part.set(document, { tokens, kept });
      else {
        known.tokens += tokens;
        known.kept += kept;
      }
    },
    end() {
      for (const [document, sums] of part) {
        const own = facts(document);
        byShard.add(shardName, sums);
        if (own !== null) byLength.add(lengthClass(own.tokens), sums);
        for (const [index, name] of (own?.names ?? NOBODY).entries()) byName[index]?.groups.add(name, sums);
      }
      part.clear();
    },
    axes: () => [
      ...byName.map(({ by, groups }) => ({ by, domains: true, groups: groups.list() })),
      { by: 'shard', domains: true, groups: byShard.list() },
      { by: 'document_tokens', domains: false, groups: byLength.list() },
    ],
  };
}

/** `64 to 127`: lengths by the power of two that they reach. */
function lengthClass(tokens: number): string {
  const low = tokens < 1 ? 0 : 2 ** Math.floor(Math.log2(tokens));
  return low < 2 ? String(low) : `${low} to ${2 * low - 1}`;
}

function createGroups() {
  const groups = new Map<string, { documents: number; tokens: number; kept: number }>();
  return {
    add(name: string, { tokens, kept }: { readonly tokens: number; readonly kept: number }): void {
      const own = groups.has(name) || groups.size < MOST_NAMES ? name : OTHERS;
      const sums = groups.get(own) ?? { documents: 0, tokens: 0, kept: 0 };
      if (sums.documents === 0) groups.set(own, sums);
      sums.documents++;
      sums.tokens += tokens;
      sums.kept += kept;
    },
    list: (): GroupFigures[] => [...groups].map(([name, sums]) => ({ name, ...sums })),
  };
}
