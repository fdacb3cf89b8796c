/** What the first bytes of a file say that it is, whatever it is called. */
import type { ShardFormat } from './shard.js';

export type StreamForm = Exclude<ShardFormat, 'parquet'>;

/** Bytes that are looked at. */
export const FIRST_BYTES = 64;

/** Forms that are not read: how they begin, in latin1, and what to do about them. */
// biome-ignore-start lint/suspicious/noControlCharactersInRegex: these are what files begin with
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^(\xff\xfe\0\0|\0\0\xfe\xff)/, 'UTF-32 text; convert it to UTF-8 (iconv -f UTF-32 -t UTF-8)'],
  [
    /^(\xff\xfe|\xfe\xff|[{\n\r ]\0[^\0]\0|\0[{\n\r ]\0[^\0])/,
    'UTF-16 text; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)',
  ],
  [/^BZh[1-9]/, 'compressed with bzip2; decompress it, or compress it with gzip or zstd'],
  [/^\xfd7zXZ\0/, 'compressed with xz; decompress it, or compress it with gzip or zstd'],
  [/^\x04\x22\x4d\x18/, 'compressed with lz4; decompress it, or compress it with gzip or zstd'],
  [/^\xff\x06\0\0sNaPpY/, 'compressed with snappy; decompress it, or compress it with gzip or zstd'],
  [/^[\x22-\x27]\xb5\x2f\xfd/, 'compressed with a zstd of before 0.8; compress it again'],
  [/^PK\x03\x04/, 'a zip archive; extract its files'],
  [/^7z\xbc\xaf\x27\x1c/, 'a 7z archive; extract its files'],
  [/^PAR1/, 'a parquet file; call it .parquet'],
  [/^ARROW1\0\0/, 'an Arrow file; write its rows as parquet or JSON lines'],
  [/^Obj\x01/, 'an Avro file; write its rows as parquet or JSON lines'],
  [/^version https:\/\/git-lfs/, 'the pointer of Git LFS, not the file itself; fetch it (git lfs pull)'],
  [
    /^\s*<(!doctype|html|\?xml|!--)/i,
    'a page of markup, as servers send in place of a file; fetch the file again',
  ],
];
const ZSTD = /^(\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)/;
// biome-ignore-end lint/suspicious/noControlCharactersInRegex: these are what files begin with

export type FirstBytes =
  | { readonly kind: 'lines'; readonly form: StreamForm }
  | { readonly kind: 'other'; readonly what: string };

/**
 * The form of a file of lines. Compression is told by its first bytes, as files are often renamed, and decompressed by whoever
 * fetched them without being called otherwise; text cannot begin as a compressed file does.
 */
export function formOfBytes(bytes: Uint8Array, named: StreamForm): FirstBytes {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, FIRST_BYTES)).toString(
    'latin1',
  );
  if (start.startsWith('\x1f\x8b')) return { kind: 'lines', form: 'jsonl.gz' };
  if (ZSTD.test(start)) return { kind: 'lines', form: 'jsonl.zst' };
  const other = OTHERS.find(([pattern]) => pattern.test(start));
  if (other) return { kind: 'other', what: other[1] };
  if (/^(\xef\xbb\xbf)?\s*[{[]/.test(start)) return { kind: 'lines', form: 'jsonl' };
  if (named === 'jsonl.gz' && isZlib(bytes)) {
    return { kind: 'other', what: 'a zlib stream without the header of gzip; compress it with gzip' };
  }
  return { kind: 'lines', form: named };
}

/** RFC 1950, 2.2. */
const isZlib = ([method = 0, flags = 0]: Uint8Array): boolean =>
  (method & 0x8f) === 8 && ((method << 8) | flags) % 31 === 0;
