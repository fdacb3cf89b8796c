import { type DataType, Field, Float32, Int8, Int32, List, Schema } from 'apache-arrow';
import { arrowStream, type ColumnData, flatColumn, listColumn } from '../dataset/arrow-writer.js';
import { canonicalJson } from '../json/canonical-json.js';
import { markRuns } from '../sequence/runs.js';
import { documentsApart } from './documents.js';
import type { ExportContext, ExportFormat } from './format.js';
import { type DescribedColumn, hfCard } from './hf-card.js';
import { labelsOf } from './ids.js';
import { type ExportRows, rowCount, targetsOfRows } from './rows.js';

/**
 * A folder that `datasets.load_dataset` and `datasets.load_from_disk` both read: as a `DatasetDict` of one split,
 * since `load_dataset` refuses a folder that has a `state.json` itself. Rows stay rows. Arrow IPC streams, a record
 * batch of the source each, 12 to 20 bytes a token.
 */
export const hf: ExportFormat = {
  name: 'hf',
  summary: 'Hugging Face datasets: input_ids, labels, loss_weights, reference_loss',
  semantics: 1,
  settings: [],
  later: { labels: 'kept', add: [], documents: 'together' },
  rowsOf: ({ documents }) => (documents === 'apart' ? documentsApart : (rows) => rows),
  cut: 'rows',
  bitsOnly: () => null,
  bytesPerToken: (settings, source) => 4 * columnsOf({ settings, source }).length,
  async open({ settings, source, index, shards, create }) {
    const columns = columnsOf({ settings, source });
    const stream = arrowStream(schemaOf(columns));
    const file = await create(`train/${dataName(index, shards)}`);
    await file.write(stream.head);
    return {
      async write(rows) {
        const data = columns.map(({ values, offsets }) =>
          listColumn(offsets?.(rows) ?? rows.offsets, items(values(rows))),
        );
        await file.write(stream.batch(rowCount(rows), data));
      },
      finish: () => file.write(stream.end),
    };
  },
  describe(finished) {
    const { shards, fingerprint, outputs } = finished;
    const state = {
      _data_files: Array.from({ length: shards }, (_, index) => ({ filename: dataName(index, shards) })),
      _fingerprint: fingerprint.slice(0, 16),
      _format_columns: null,
      _format_kwargs: {},
      _format_type: null,
      _output_all_columns: false,
      _split: 'train',
    };
    const examples = finished.counts.rows;
    const bytes = outputs.reduce((sum, output) => sum + output.bytes, 0);
    const info = {
      citation: '',
      description: '',
      homepage: '',
      license: '',
      dataset_size: bytes,
      splits: { train: { name: 'train', num_bytes: bytes, num_examples: examples } },
    };
    return {
      'train/state.json': `${JSON.stringify(state, null, 2)}\n`,
      'train/dataset_info.json': `${JSON.stringify(info, null, 2)}\n`,
      'dataset_dict.json': `${canonicalJson({ splits: ['train'] })}\n`,
      'README.md': hfCard(finished, columnsOf(finished)),
    };
  },
};

const dataName = (index: number, shards: number): string =>
  `data-${String(index).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.arrow`;

interface HfColumn extends DescribedColumn {
  values(rows: ExportRows): Int8Array | Int32Array | Float32Array;
  /** [rows + 1] Where a row begins in `values`; that of its tokens where there is none. */
  offsets?(rows: ExportRows): Int32Array;
}

function columnsOf({ settings, source }: Pick<ExportContext, 'settings' | 'source'>): HfColumn[] {
  const isNarrowed = settings.labels === 'kept';
  const columns: HfColumn[] = [
    { name: 'input_ids', type: 'int32', meaning: 'token ids', values: ({ inputIds }) => inputIds },
    {
      name: 'labels',
      type: 'int32',
      meaning: `the id of the same position, −100 where ${isNarrowed ? 'the weight is 0' : 'it is no target: tokens of weight 0 have one, for live selection'}. Not shifted: models of transformers shift labels themselves, and position 0 of a row is never a target`,
      values: (rows) => labelsOf(rows.inputIds, isNarrowed ? rows.weights : targetsOfRows(rows)),
    },
    {
      name: 'loss_weights',
      type: 'float32',
      meaning:
        'weight of the loss at which this token is the target, not shifted either; fractions are kept here only',
      values: ({ weights }) => weights,
    },
  ];
  if (source.losses.includes('reference_loss')) {
    columns.push({
      name: 'reference_loss',
      type: 'float32',
      meaning: 'loss of this token under the reference model, in nats; NaN where it is no target',
      values: ({ columns: { reference_loss }, inputIds }) =>
        reference_loss ?? new Float32Array(inputIds.length).fill(Number.NaN),
    });
  }
  if (source.rules.attention === 'within' && settings.documents !== 'apart') {
    columns.push({
      name: 'position_ids',
      type: 'int32',
      meaning:
        'position within the document, 0 at its first token in the row: documents of a row do not see each other',
      values: positionsOf,
    });
  }
  if (settings.add.includes('attention_mask'))
    columns.push({
      name: 'attention_mask',
      type: 'int8',
      meaning: '1 for every id: a row has no padding',
      values: ({ inputIds }) => new Int8Array(inputIds.length).fill(1),
    });
  if (settings.add.includes('seq_lengths'))
    columns.push({
      name: 'seq_lengths',
      type: 'int32',
      meaning: 'ids of each document of the row, in order',
      values: ({ segments }) => segments.tokenCount,
      offsets: ({ segments }) => segments.offsets,
    });
  if (settings.add.includes('loss_scale'))
    columns.push({
      name: 'loss_scale',
      type: 'float32',
      meaning: 'loss_weights once more, as ms-swift reads them; it divides by the number of labels',
      values: ({ weights }) => weights,
    });
  return columns;
}

function positionsOf({ offsets, segments, inputIds }: ExportRows): Int32Array {
  const positions = new Int32Array(inputIds.length);
  const documents = new Int32Array(inputIds.length);
  for (let row = 0; row < offsets.length - 1; row++) {
    const counts = segments.tokenCount.subarray(segments.offsets[row], segments.offsets[row + 1]);
    markRuns(counts, offsets[row] ?? 0, offsets[row + 1] ?? 0, positions, documents);
  }
  return positions;
}

const schemaOf = (columns: readonly HfColumn[]): Schema =>
  new Schema(
    columns.map(({ name, type }) => {
      const item: Field<DataType> = new Field('item', new ITEMS[type](), true);
      return new Field(name, new List(item), true);
    }),
  );

const ITEMS = { int8: Int8, int32: Int32, float32: Float32 } as const;

const items = (values: Int8Array | Int32Array | Float32Array): ColumnData =>
  flatColumn(values.length, values);
