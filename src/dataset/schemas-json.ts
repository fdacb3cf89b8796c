import { RecordBatchJSONWriter, type Schema } from 'apache-arrow';
import { z } from 'zod';
import { manifestSchema } from './manifest.js';
import { documentSchema, sequenceSchema } from './schema.js';
import { LOSS_COLUMNS } from './sequence-batch.js';

/**
 * The dataset room's schemas as plain JSON, by the file name that each has in `schemas/`. `schemas/generate.mjs`
 * writes them; a test compares. Arrow fields are in the JSON form of Arrow's integration tests.
 */
export function datasetSchemas(): Readonly<Record<string, unknown>> {
  const losses = ['reference_loss', 'current_loss'] as const;
  const notes = {
    format: 'Arrow IPC file, little-endian, buffers plain, zstd or lz4 frames',
    metadata: 'key `tokensieve`: JSON with `version` of this layout, fingerprint and conventions',
  };
  const sequenceNotes = {
    ...notes,
    row: 'one sequence; all its lists but `segments` have one length',
    precision:
      'losses and entropies float32 as here, or all float16; weights float32. NaN where a token has none',
    optional: LOSS_COLUMNS.filter((name) => name !== 'reference_loss'),
  };
  return {
    'scored.arrow.json': {
      ...sequenceNotes,
      fields: fieldsOf(sequenceSchema([...LOSS_COLUMNS], 'fp32', {})),
    },
    'weighted.arrow.json': {
      ...sequenceNotes,
      optional: [...LOSS_COLUMNS],
      fields: fieldsOf(sequenceSchema([...losses, 'weight'], 'fp32', {})),
    },
    'packed.arrow.json': {
      ...notes,
      row: sequenceNotes.row,
      weight: '1 where the token is a target, else 0',
      fields: fieldsOf(sequenceSchema(['weight'], 'fp32', {})),
    },
    'documents.arrow.json': {
      ...notes,
      row: 'one document; between `row` and `text_digest` stand the columns kept from the shard, as nullable strings (`url` here)',
      text_digest: 'first 16 bytes of the SHA-256 of the UTF-8 text',
      fields: fieldsOf(documentSchema(['url'], {})),
    },
    'manifest.schema.json': z.toJSONSchema(manifestSchema),
  };
}

function fieldsOf(schema: Schema): unknown {
  const writer = new RecordBatchJSONWriter();
  writer.reset(undefined, schema);
  writer.finish();
  const json: { schema: { fields: unknown } } = JSON.parse(writer.toString(true));
  return json.schema.fields;
}
