import type { PartPlace } from '../dataset/part-files.js';
import { partFiles } from '../dataset/part-files.js';
import { placeByBytes } from '../texts/place-tokens.js';
import type { Encoding } from '../tokenizer/tokenizer.js';
import type { ExportContext, ExportFormat, OutputFile } from './format.js';
import { shardName } from './ids.js';
import { type ExportRows, rowCount } from './rows.js';
import { changed } from './source.js';
import { spansOf } from './spans.js';
import { openTexts, type TextDocument, type Texts } from './texts.js';

/** Text encoded at once, in UTF-16 units, and documents. */
const GROUP_UNITS = 1 << 20;
const GROUP_DOCUMENTS = 256;

/**
 * A line a document, for people: its text in spans of one weight each. Texts are read again from the shards, their
 * digests and the ids that they give are compared with the run's; what differs is refused.
 */
export const jsonl: ExportFormat = {
  name: 'jsonl',
  summary: 'a line a document with its text in spans of one weight, for people',
  semantics: 1,
  settings: [],
  cut: 'parts',
  bitsOnly: () => null,
  bytesPerToken: () => 20,
  open: () => Promise.reject(new RangeError('jsonl is prepared first')),
  async prepare(context) {
    const texts = await openTexts(context);
    return {
      ...jsonl,
      async open({ index, shards, create }) {
        return documentWriter(
          await create(shardName('data/documents', index, shards, '.jsonl')),
          context,
          texts,
        );
      },
      close: () => texts.close(),
    };
  },
  describe: () => ({}),
};

/** The tokens of one document, gathered row by row. */
export interface GatheredTokens {
  readonly document: bigint;
  readonly ids: number[];
  readonly weights: number[];
  readonly reference: number[] | null;
  readonly current: number[] | null;
}

function documentWriter(file: OutputFile, context: ExportContext, texts: Texts) {
  const { losses } = context.source;
  let place: PartPlace | null = null;
  let documents: AsyncGenerator<TextDocument> | null = null;
  let open: GatheredTokens | null = null;
  let ready: { readonly tokens: GatheredTokens; readonly text: TextDocument }[] = [];
  let units = 0;

  const flush = async (): Promise<void> => {
    if (place === null || ready.length === 0) return;
    const encodings = await texts.tokenizer.encode(ready.map(({ text }) => text.text));
    const lines = ready.map(({ tokens, text }, i) => {
      const encoding = encodings[i];
      if (encoding === undefined || place === null) throw new RangeError('an encoding a text');
      return JSON.stringify(documentLine(tokens, text, encoding, place, context));
    });
    await file.write(Buffer.from(`${lines.join('\n')}\n`, 'utf8'));
    ready = [];
    units = 0;
  };
  const close = async (): Promise<void> => {
    if (open === null || place === null || documents === null) return;
    const tokens = open;
    open = null;
    let text = await documents.next();
    while (text.done !== true && BigInt(text.value.row) < tokens.document) text = await documents.next();
    if (text.done === true || BigInt(text.value.row) !== tokens.document) {
      throw changed(
        sequencesOf(place, context),
        `has tokens of document ${tokens.document}, its documents file has not`,
      );
    }
    ready.push({ tokens, text: text.value });
    units += text.value.text.length;
    if (units >= GROUP_UNITS || ready.length >= GROUP_DOCUMENTS) await flush();
  };
  const startPart = async (next: PartPlace): Promise<void> => {
    if (place !== null && place.shard === next.shard && place.part === next.part) return;
    await close();
    await flush();
    await documents?.return(undefined);
    place = next;
    documents = texts.documents(next);
  };

  return {
    async write(rows: ExportRows) {
      await startPart(rows.place);
      for (let row = 0; row < rowCount(rows); row++) {
        for (const { document, start, end } of freshRanges(rows, row)) {
          if (open !== null && open.document !== document) await close();
          open ??= {
            document,
            ids: [],
            weights: [],
            reference: losses.includes('reference_loss') ? [] : null,
            current: losses.includes('current_loss') ? [] : null,
          };
          for (let i = start; i < end; i++) {
            open.ids.push(rows.inputIds[i] ?? 0);
            open.weights.push(rows.weights[i] ?? 0);
            open.reference?.push(rows.columns.reference_loss?.[i] ?? Number.NaN);
            open.current?.push(rows.columns.current_loss?.[i] ?? Number.NaN);
          }
        }
      }
    },
    async finish() {
      await close();
      await flush();
      await documents?.return(undefined);
    },
  };
}

/** Ranges of the batch's tokens by document, without those that the row repeats. */
function* freshRanges({ offsets, repeats, segments }: ExportRows, row: number) {
  const rowStart = offsets[row] ?? 0;
  const skip = repeats[row] ?? 0;
  const last = segments.offsets[row + 1] ?? 0;
  for (let s = segments.offsets[row] ?? 0; s < last; s++) {
    const from = Math.max(skip, segments.tokenStart[s] ?? 0);
    const to = (segments.tokenStart[s] ?? 0) + (segments.tokenCount[s] ?? 0);
    if (to > from) yield { document: segments.document[s] ?? 0n, start: rowStart + from, end: rowStart + to };
  }
}

const sequencesOf = ({ shard, part }: PartPlace, { source }: ExportContext): string =>
  partFiles(source.folder, shard, part).sequences;

function documentLine(
  tokens: GatheredTokens,
  { row, text, columns }: TextDocument,
  encoding: Encoding,
  place: PartPlace,
  context: ExportContext,
) {
  const { bos, eos } = context.source.rules.tokenizer;
  const lead = bos === null ? 0 : 1;
  const count = encoding.ids.length;
  const fail = (what: string) => changed(sequencesOf(place, context), `document ${row}: ${what}`);
  if (tokens.ids.length !== lead + count + (eos === null ? 0 : 1)) {
    throw fail(`its text gives ${count} tokens; ${tokens.ids.length} with BOS and EOS were scored`);
  }
  for (let i = 0; i < count; i++) {
    if (tokens.ids[lead + i] === encoding.ids[i]) continue;
    throw fail(`token ${i} of its text is ${encoding.ids[i]}; ${tokens.ids[lead + i]} was scored`);
  }
  const { byteStart, byteEnd } = encoding.offsets();
  const places = placeByBytes(text, byteStart, byteEnd);
  const cut = (values: number[] | null) => values?.slice(lead, lead + count) ?? null;
  return {
    shard: place.shard,
    part: place.part,
    row,
    ...(Object.keys(columns).length > 0 && { columns }),
    tokens: tokens.ids.length,
    kept: tokens.weights.filter((weight) => weight > 0).length,
    text,
    spans:
      places === null
        ? null
        : spansOf(text, places.end, {
            weights: tokens.weights.slice(lead, lead + count),
            reference: cut(tokens.reference),
            current: cut(tokens.current),
          }),
  };
}
