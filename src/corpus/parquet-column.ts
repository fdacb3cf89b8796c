/** A top-level column of one row group, some rows at a time, as plain JSON values; what is broken reads as null. */
import { firstLine } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { type Assemble, assembler, type LeafCursor } from './parquet-assemble.js';
import { pageLimit } from './parquet-codec.js';
import type { DecodedPage } from './parquet-decode.js';
import type { ParquetFooter, RowGroup } from './parquet-footer.js';
import { type LeafRun, readLeaf } from './parquet-leaf.js';
import type { Field } from './parquet-schema.js';
import { jsonConverter } from './parquet-values.js';

/** Most entries of one row of a nested column; such a row becomes JavaScript objects all at once. */
const MAX_ROW_ENTRIES = 2 ** 20;
/** Most entries held while the end of a row is looked for. */
const MAX_HELD_ENTRIES = 2 ** 24;

export interface ColumnSlice {
  /** [rows] */
  readonly values: readonly unknown[];
  /** [rows] why a value could not be read and is null; null where it could, or for the whole slice. */
  readonly lost: readonly (string | null)[] | null;
}

export interface ColumnRows {
  /** The next rows; rows past the row group's end read as lost. */
  next(rows: number): Promise<ColumnSlice>;
}

/** Values as `parquet-values.ts` and `parquet-assemble.ts` describe them. */
export function openColumn(
  storage: Storage,
  footer: ParquetFooter,
  group: RowGroup,
  field: Field,
  maxPageBytes = pageLimit(footer.size),
): ColumnRows {
  const runsOf = (leafField: Field) => {
    const { leaf: type, definition, repetition } = leafField;
    if (!type) throw new Error('not a leaf');
    const column = { type, definition, repetition, maxPageBytes };
    const convert = jsonConverter(type);
    return readLeaf({ storage, footer, group, leaf: leafField.leaves[0], column, convert });
  };
  if (field.leaf && !field.repeated) return flatColumn(runsOf(field), field.definition);
  return nestedColumn(
    leavesOf(field).map((leaf) => new LeafBuffer(runsOf(leaf), leaf.definition)),
    assembler(field),
  );
}

const leavesOf = (field: Field): readonly Field[] =>
  field.leaf ? [field] : field.children.flatMap(leavesOf);

function flatColumn(runs: AsyncGenerator<LeafRun<unknown>>, definition: number): ColumnRows {
  let run: LeafRun<unknown> | null = null;
  let entry = 0;
  let value = 0;
  return {
    async next(rows) {
      const values: unknown[] = [];
      let lost: (string | null)[] | null = null;
      while (values.length < rows) {
        if (run === null || entry === run.entries) {
          if (run?.kind === 'page') run.page.release();
          const next = await runs.next();
          run = next.done
            ? {
                kind: 'broken',
                entries: Number.POSITIVE_INFINITY,
                reason: 'broken-row-group',
                detail: 'no more rows',
                last: true,
              }
            : next.value;
          entry = 0;
          value = 0;
        }
        const count = Math.min(rows - values.length, run.entries - entry);
        if (run.kind === 'broken') {
          lost ??= new Array<string | null>(rows).fill(null);
          lost.fill(run.detail, values.length, values.length + count);
          for (let i = 0; i < count; i++) values.push(null);
        } else {
          const { definitions, value: valueAt } = run.page;
          for (let i = entry; i < entry + count; i++) {
            if (definitions && definitions[i] !== definition) {
              values.push(null);
              continue;
            }
            try {
              values.push(valueAt(value++));
            } catch (error) {
              // One value that does not fit its type (a date of 84 bytes) takes no others with it.
              lost ??= new Array<string | null>(rows).fill(null);
              lost[values.length] = firstLine(error);
              values.push(null);
            }
          }
        }
        entry += count;
      }
      return { values, lost };
    },
  };
}

function nestedColumn(buffers: readonly LeafBuffer[], assemble: Assemble): ColumnRows {
  let lostTo: string | null = buffers.length === 0 ? 'the column has no leaves' : null;
  return {
    async next(rows) {
      for (const buffer of buffers) if (lostTo === null) await buffer.fill(rows);
      const values: unknown[] = [];
      const lost = new Array<string | null>(rows).fill(null);
      for (let row = 0; row < rows; row++) {
        // A nested column's rows cannot be counted past a break: it is lost up to the row group's end.
        lostTo ??= buffers.find((buffer) => buffer.completeRows === 0)?.trouble ?? null;
        if (lostTo === null) {
          try {
            const value = assemble(buffers);
            if (!buffers.every((buffer) => buffer.endRow()))
              throw new Error('the levels of its columns disagree');
            values.push(value);
            continue;
          } catch (error) {
            lostTo = firstLine(error);
          }
        }
        values.push(null);
        lost[row] = lostTo;
      }
      return { values, lost: lostTo === null ? null : lost };
    },
  };
}

/** A leaf column's entries from the current row on, whole rows at a time. */
class LeafBuffer implements LeafCursor {
  /** Rows whose every entry is held. */
  completeRows = 0;
  /** Why there are no more rows than these. */
  trouble = 'the column chunk ends early';
  private readonly pages: DecodedPage<unknown>[] = [];
  private held = 0;
  private taken = 0;
  private entry = 0;
  private value = 0;
  private started = 0;
  private ended = false;

  constructor(
    private readonly runs: AsyncGenerator<LeafRun<unknown>>,
    private readonly present: number,
  ) {}

  async fill(rows: number): Promise<void> {
    while (this.completeRows < rows && !this.ended) {
      const next = await this.runs.next();
      if (next.done) {
        this.ended = true;
        this.completeRows = this.started;
      } else if (next.value.kind === 'broken') {
        this.fail(next.value.detail);
      } else {
        this.push(next.value.page);
      }
      if (this.held > MAX_HELD_ENTRIES) {
        this.fail(`a row of more than ${MAX_HELD_ENTRIES} values`);
      }
    }
  }

  private fail(trouble: string): void {
    this.ended = true;
    this.trouble = trouble;
  }

  private push(page: DecodedPage<unknown>): void {
    this.pages.push(page);
    this.held += page.entries;
    if (page.repetitions === null) {
      this.started += page.entries;
      this.completeRows = this.started;
      return;
    }
    if (
      this.pages.length === 1 &&
      this.held === page.entries &&
      this.started === 0 &&
      page.repetitions[0] !== 0
    ) {
      this.fail('the first row begins in the middle of a list');
      return;
    }
    for (const level of page.repetitions) if (level === 0) this.started++;
    // The last row may go on in the next page.
    this.completeRows = Math.max(0, this.started - 1);
  }

  /** Ends the current row: true when the cursor stands where the next one begins. */
  endRow(): boolean {
    this.taken = 0;
    this.started--;
    this.completeRows--;
    return this.repetition() <= 0;
  }

  definition(): number {
    const page = this.page();
    return page ? (page.definitions?.[this.entry] ?? this.present) : -1;
  }

  repetition(): number {
    const page = this.page();
    return page ? (page.repetitions?.[this.entry] ?? 0) : -1;
  }

  take(): unknown {
    const page = this.page();
    if (!page) throw new Error('the levels of its columns disagree');
    if (++this.taken > MAX_ROW_ENTRIES) throw new Error(`a row of more than ${MAX_ROW_ENTRIES} values`);
    const present = page.definitions === null || page.definitions[this.entry] === this.present;
    this.entry++;
    return present ? page.value(this.value++) : null;
  }

  private page(): DecodedPage<unknown> | undefined {
    while (this.pages[0] && this.entry === this.pages[0].entries) {
      this.held -= this.pages[0].entries;
      this.pages.shift();
      this.entry = 0;
      this.value = 0;
    }
    return this.pages[0];
  }
}
