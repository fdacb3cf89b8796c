/** What faults did to the parts of a run, for the table of docs/reliability.md. */
export interface Tally {
  /** One fault after which the folder was held against that of a clean run. */
  add(fault: string, clean: Digests, after: Digests): void;
  /** A row for each kind of fault. */
  print(): void;
}

/** sha256 of files by relative path. */
type Digests = Readonly<Record<string, string>>;

export function openTally(title: string): Tally {
  const rows = new Map<string, { times: number; lost: number; duplicated: number; wrong: number }>();
  return {
    add(fault, clean, after) {
      const row = rows.get(fault) ?? { times: 0, lost: 0, duplicated: 0, wrong: 0 };
      row.times++;
      const names = new Set([...Object.keys(clean), ...Object.keys(after)]);
      for (const name of names) {
        if (after[name] === undefined) row.lost++;
        else if (clean[name] === undefined) row.duplicated++;
        else if (clean[name] !== after[name]) row.wrong++;
      }
      rows.set(fault, row);
    },
    print() {
      for (const [fault, { times, lost, duplicated, wrong }] of rows) {
        console.log(
          `${title}: ${fault}: ${times} times, ${lost} lost, ${duplicated} too many, ${wrong} wrong`,
        );
      }
    },
  };
}
