import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import parquet, { type FieldDefinition, type WriterOptions } from 'parquetjs-lite';

/** A parquet file as parquetjs-lite, which shares no code with the reader, writes it. `pageSize` is in rows. */
export async function writtenParquet(
  fields: Readonly<Record<string, FieldDefinition>>,
  rows: readonly Readonly<Record<string, unknown>>[],
  options: WriterOptions = {},
): Promise<Buffer> {
  const stream = new PassThrough({ highWaterMark: 2 ** 30 });
  const whole = buffer(stream);
  const writer = await parquet.ParquetWriter.openStream(new parquet.ParquetSchema(fields), stream, options);
  for (const row of rows) await writer.appendRow(row);
  await writer.close();
  return whole;
}

/** Rows of the shape of web corpora, their texts all different. */
export const webRows = (count: number): { url: string; text: string; n: number }[] =>
  Array.from({ length: count }, (_, i) => ({
    url: `https://example.org/${i}`,
    text: `Document ${i}. ${'Let x be a prime; é, ∑ and 😀. '.repeat(1 + (i % 7))}`,
    n: i,
  }));
