import { Field, Float32, Int32, List, Schema } from 'apache-arrow';
import { arrowStream, type ColumnData, flatColumn, listColumn } from '../dataset/arrow-writer.js';
import { canonicalJson } from '../json/canonical-json.js';
import { markRuns } from '../sequence/runs.js';
import type { ExportContext, ExportFormat } from './format.js';
import { type DescribedColumn, hfCard } from './hf-card.js';
import { labelsOf } from './ids.js';
import { type ExportRows, rowCount } from './rows.js';

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
  cut: 'rows',
  bitsOnly: () => null,
  bytesPerToken: (_, source) => 4 * columnsOf({ source }).length,
  async open({ source, index, shards, create }) {
    const columns = columnsOf({ source });
    const stream = arrowStream(schemaOf(columns));
    const file = await create(`train/${dataName(index, shards)}`);
    await file.write(stream.head);
    return {
      async write(rows) {
        const data = columns.map(({ values }) => listColumn(rows.offsets, items(values(rows))));
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
  values(rows: ExportRows): Int32Array | Float32Array;
}

function columnsOf({ source }: Pick<ExportContext, 'source'>): HfColumn[] {
  const columns: HfColumn[] = [
    { name: 'input_ids', type: 'int32', meaning: 'token ids', values: ({ inputIds }) => inputIds },
    {
      name: 'labels',
      type: 'int32',
      meaning:
        'the id of the same position, −100 where the weight is 0. Not shifted: models of transformers shift labels themselves, and position 0 of a row is never a target',
      values: ({ inputIds, weights }) => labelsOf(inputIds, weights),
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
  if (source.rules.attention === 'within') {
    columns.push({
      name: 'position_ids',
      type: 'int32',
      meaning:
        'position within the document, 0 at its first token in the row: documents of a row do not see each other',
      values: positionsOf,
    });
  }
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
      const item = new Field('item', type === 'int32' ? new Int32() : new Float32(), true);
      return new Field(name, new List<Int32 | Float32>(item as Field<Int32 | Float32>), true);
    }),
  );

const items = (values: Int32Array | Float32Array): ColumnData => flatColumn(values.length, values);
