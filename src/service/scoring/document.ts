import { tokenizedDocument } from '../../pack/text-rows.js';
import type { ScoredSequence } from '../../score/scorer.js';
import { excess } from '../../select/scores.js';
import { createPacker, type PackingRules } from '../../sequence/packing.js';
import type { Sequence } from '../../sequence/sequence.js';
import type { Encoding } from '../../tokenizer/tokenizer.js';
import { unitRanges } from './ranges.js';
import type { ScoredText } from './schemas.js';

/** A text as a document: its ids with BOS and EOS, where they stand in it, and the rows that the models see. */
export interface ScoringDocument {
  /** [tokens] each. */
  readonly ids: Int32Array;
  readonly start: Int32Array;
  readonly end: Int32Array;
  readonly rows: readonly DocumentRow[];
}

export interface DocumentRow {
  readonly sequence: Sequence;
  /** Token of the document that the row begins with. */
  readonly first: number;
}

/** Ids of all rows of a document of `tokens` ids: a long one's rows repeat some as context. */
export function rowTokens(tokens: number, { length, overlap }: PackingRules): number {
  if (tokens <= length) return tokens;
  return tokens + overlap * Math.ceil((tokens - length) / (length - overlap));
}

/** Rows as `document` packing makes them offline. Synchronous, O(bytes of the text). */
export function openDocument(text: string, encoding: Encoding, rules: PackingRules): ScoringDocument {
  const document = tokenizedDocument(
    { row: 0, text, textBytes: Buffer.byteLength(text), kind: 'document', columns: {} },
    encoding,
  );
  const packer = createPacker(rules);
  const sequences = [...packer.push(document), ...packer.finish()];
  const lead = rules.bosId === null ? 0 : 1;
  const tail = rules.eosId === null ? 0 : 1;
  const tokens = lead + encoding.ids.length + tail;
  const ids = new Int32Array(tokens);
  const start = new Int32Array(tokens);
  const end = new Int32Array(tokens);
  const ranges = unitRanges(text, document.offsets());
  start.set(ranges.start, lead);
  end.set(ranges.end, lead);
  if (tail === 1) {
    start[tokens - 1] = text.length;
    end[tokens - 1] = text.length;
  }
  const rows: DocumentRow[] = [];
  let counted = 0;
  for (const sequence of sequences) {
    const first = rows.length === 0 ? 0 : counted - rules.overlap;
    ids.set(sequence.ids, first);
    counted = first + sequence.ids.length;
    rows.push({ sequence, first });
  }
  return { ids, start, end, rows };
}

/** Values of one column of the scored rows. */
type RowColumn = (row: ScoredSequence) => Float32Array | undefined;

/** One value a token of the document, taken from the row in which the token is a target; NaN where it is in none. */
export function columnOfDocument(
  document: ScoringDocument,
  scored: readonly ScoredSequence[],
  column: RowColumn,
): Float32Array {
  const values = new Float32Array(document.ids.length).fill(Number.NaN);
  document.rows.forEach(({ sequence, first }, index) => {
    const row = scored[index];
    const found = row && column(row);
    if (found === undefined) return;
    for (let i = 0; i < sequence.ids.length; i++) {
      if (sequence.eligible[i] === 1) values[first + i] = found[i] ?? Number.NaN;
    }
  });
  return values;
}

/**
 * What is answered for one text.
 * @param weights [tokens of the document], 0 where a token has no loss; null without a selection
 */
export function textResult(
  document: ScoringDocument,
  scored: readonly ScoredSequence[],
  weights: Float32Array | null,
  maxTokens: number,
): ScoredText {
  const reference = columnOfDocument(document, scored, (row) => row.reference?.loss);
  const current = columnOfDocument(document, scored, (row) => row.current?.loss);
  const tokens = document.ids.length;
  const differences = new Float32Array(tokens);
  excess.kernel({ columns: { reference_loss: reference, current_loss: current } }, differences);
  let eligible = 0;
  for (const { sequence } of document.rows) {
    for (let i = 0; i < sequence.eligible.length; i++) eligible += sequence.eligible[i] ?? 0;
  }
  return {
    tokens: {
      id: Array.from(document.ids),
      start: Array.from(document.start),
      end: Array.from(document.end),
      reference_loss: orNull(reference),
      current_loss: orNull(current),
      excess: orNull(differences),
      weight: weights && Array.from(weights),
    },
    eligible,
    truncated: document.rows.length > 1,
    max_tokens: maxTokens,
  };
}

/** JSON has no NaN. */
function orNull(values: Float32Array): (number | null)[] {
  const out = new Array<number | null>(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? Number.NaN;
    out[i] = Number.isNaN(value) ? null : value;
  }
  return out;
}
