/** One part of a report, before it is text for a terminal or a page: a title, sentences, a table, curves. */

export interface Section {
  readonly title: string;
  /** Sentences, each a paragraph. */
  readonly notes: readonly string[];
  readonly table?: SectionTable;
  readonly plot?: SectionPlot;
}

export interface SectionTable {
  /** `number` aligns a column to the right. */
  readonly columns: readonly { readonly title: string; readonly number?: boolean }[];
  readonly rows: readonly (readonly string[])[];
}

export interface SectionPlot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  /** `group` numbers what is of one kind: series of a group look alike. */
  readonly series: readonly {
    readonly name: string;
    readonly group: number;
    readonly points: readonly (readonly [x: number, y: number])[];
  }[];
}

/** The section as lines for a terminal. */
export function sectionText({ title, notes, table }: Section): string {
  return [title, ...(table ? [indent(tableText(table))] : []), ...notes.map((note) => indent(note))].join(
    '\n',
  );
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, '  ');

function tableText({ columns, rows }: SectionTable): string {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map((line) =>
      columns
        .map(({ number }, i) => {
          const [cell, width] = [line[i] ?? '', widths[i] ?? 0];
          return number ? cell.padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
