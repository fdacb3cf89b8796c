/**
 * Parquet's physical values as plain JSON values, without loss:
 * integers are numbers, exact ones beyond ±(2^53 − 1); decimals are strings with all their digits;
 * NaN and infinities are the strings "NaN", "Infinity", "-Infinity"; dates, times and timestamps are ISO 8601
 * strings with the digits of their unit and a `Z` when they are UTC; UUIDs are strings. Byte arrays are strings
 * when they are well-formed UTF-8 and `{"hex": "..."}` when not; fixed-length ones are always `{"hex": "..."}`.
 */
import { isUtf8 } from 'node:buffer';
import { ExactNumber } from '../json/exact-number.js';
import { fromHalf } from '../numbers/fp16-bf16.js';
import type { Convert } from './parquet-decode.js';
import type { LeafType } from './parquet-schema.js';

/** The conversion for a leaf column; it throws where a value does not fit the column's type. */
export function jsonConverter({ physical, meaning }: LeafType): Convert<unknown> {
  switch (meaning.kind) {
    case 'null':
      return () => null;
    case 'decimal':
      return (value) => decimal(integer(value), meaning.scale);
    case 'date':
      return (value) => isoDate(integer(value));
    case 'time':
      return (value) => isoTime(integer(value), meaning.digits);
    case 'timestamp':
      return (value) =>
        isoTimestamp(physical === 'INT96' ? int96Nanos(value) : integer(value), meaning.digits, meaning.utc);
    case 'unsigned':
      return (value) => jsonInteger(BigInt.asUintN(physical === 'INT32' ? 32 : 64, integer(value)));
    case 'float16':
      return (value) => jsonNumber(float16(fixed(value, 2)));
    case 'uuid':
      return (value) => uuid(fixed(value, 16));
    default:
      return physical === 'FIXED_LEN_BYTE_ARRAY' ? (value) => ({ hex: hex(bytesOf(value)) }) : plainJson;
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function plainJson(value: unknown): unknown {
  if (typeof value === 'number') return jsonNumber(value);
  if (typeof value === 'bigint') return jsonInteger(value);
  if (typeof value === 'boolean') return value;
  const bytes = bytesOf(value);
  return isUtf8(bytes) ? utf8.decode(bytes) : { hex: hex(bytes) };
}

const jsonNumber = (value: number): number | string => (Number.isFinite(value) ? value : String(value));

const jsonInteger = (value: bigint): number | ExactNumber =>
  value >= -MAX_SAFE && value <= MAX_SAFE ? Number(value) : new ExactNumber(value.toString());

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new Error(`a ${typeof value} where bytes were expected`);
  return value;
}

function fixed(value: unknown, length: number): Uint8Array {
  const bytes = bytesOf(value);
  if (bytes.length !== length) throw new Error(`a value of ${bytes.length} bytes, expected ${length}`);
  return bytes;
}

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');

/** Integers of any physical type; byte arrays are big-endian two's complement, as decimals store them. */
function integer(value: unknown): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return BigInt(value);
  const bytes = bytesOf(value);
  // Decimals have at most 76 digits (32 bytes) anywhere; conversion of a megabyte would take minutes.
  if (bytes.length > 64) throw new Error(`a number of ${bytes.length} bytes`);
  return bytes.length === 0 ? 0n : BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex(bytes)}`));
}

function decimal(unscaled: bigint, scale: number): string {
  if (scale < 0 || scale > 1000) throw new Error(`decimal of scale ${scale}`);
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const sign = unscaled < 0n ? '-' : '';
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** Days and remainder of a division that rounds down. */
const divide = (value: bigint, by: bigint): readonly [bigint, bigint] => {
  const rest = ((value % by) + by) % by;
  return [(value - rest) / by, rest];
};

/** The proleptic Gregorian date, for any number of days since 1970-01-01 (H. Hinnant, chrono-compatible algorithms). */
export function isoDate(days: bigint): string {
  const [era, dayOfEra] = divide(days + 719_468n, 146_097n);
  const d = Number(dayOfEra);
  const yearOfEra = Math.floor(
    (d - Math.floor(d / 1460) + Math.floor(d / 36_524) - Math.floor(d / 146_096)) / 365,
  );
  const dayOfYear = d - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = BigInt(yearOfEra) + era * 400n + (month <= 2 ? 1n : 0n);
  const sign = year < 0n ? '-' : '';
  return `${sign}${pad(year < 0n ? -year : year, 4)}-${pad(month, 2)}-${pad(day, 2)}`;
}

function isoTime(units: bigint, digits: number): string {
  const [seconds, fraction] = divide(units, 10n ** BigInt(digits));
  const s = Number(seconds);
  return `${pad(Math.floor(s / 3600), 2)}:${pad(Math.floor(s / 60) % 60, 2)}:${pad(s % 60, 2)}.${pad(fraction, digits)}`;
}

function isoTimestamp(units: bigint, digits: number, utc: boolean): string {
  const [days, rest] = divide(units, 86_400n * 10n ** BigInt(digits));
  return `${isoDate(days)}T${isoTime(rest, digits)}${utc ? 'Z' : ''}`;
}

const pad = (value: number | bigint, digits: number): string => value.toString().padStart(digits, '0');

/** INT96: nanoseconds of the day in eight bytes, Julian day in four; Spark writes negative nanoseconds, too. */
function int96Nanos(value: unknown): bigint {
  const bytes = fixed(value, 12);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 12);
  return BigInt(view.getInt32(8, true) - 2_440_588) * 86_400_000_000_000n + view.getBigInt64(0, true);
}

function float16(bytes: Uint8Array): number {
  const [value = Number.NaN] = fromHalf(Uint16Array.of((bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8)));
  return value;
}

function uuid(bytes: Uint8Array): string {
  const digits = hex(bytes);
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    digits.slice(12, 16),
    digits.slice(16, 20),
    digits.slice(20),
  ].join('-');
}
