import type { TokensieveError } from '../errors.js';

/** Longest text of a pickle that is read: names of modules and of storages. */
const MAX_TEXT = 4096;
/** Bytes that are at hand before an opcode is looked at; no opcode with what belongs to it has more. */
const LOOKAHEAD = 1 << 16;

/** A pickle's bytes as they come, read field by field; `bad` makes the error of what is damaged. */
export class PickleBytes {
  readonly #input: AsyncIterator<Uint8Array>;
  readonly #bad: (what: string) => TokensieveError;
  #bytes = Buffer.alloc(0);
  #at = 0;
  #isEnd = false;

  constructor(source: AsyncIterable<Uint8Array>, bad: (what: string) => TokensieveError) {
    this.#input = source[Symbol.asyncIterator]();
    this.#bad = bad;
  }

  /** Whether `fill` is to be waited for before the next opcode. */
  get runsLow(): boolean {
    return !this.#isEnd && this.#bytes.length - this.#at < LOOKAHEAD;
  }

  async fill(): Promise<void> {
    while (this.runsLow) {
      const next = await this.#input.next();
      if (next.done === true) this.#isEnd = true;
      else {
        this.#bytes = Buffer.concat([this.#bytes.subarray(this.#at), next.value]);
        this.#at = 0;
      }
    }
  }

  /** Passes over `count` bytes and says where they begin. */
  skip(count: number): number {
    if (this.#at + count > this.#bytes.length) throw this.#bad('the pickle ends early');
    this.#at += count;
    return this.#at - count;
  }

  byte(): number {
    return this.#bytes[this.skip(1)] as number;
  }

  uint16(): number {
    return this.#bytes.readUInt16LE(this.skip(2));
  }

  uint32(): number {
    return this.#bytes.readUInt32LE(this.skip(4));
  }

  int32(): number {
    return this.#bytes.readInt32LE(this.skip(4));
  }

  /** Big-endian, alone of all fields. */
  float64(): number {
    return this.#bytes.readDoubleBE(this.skip(8));
  }

  /** A whole number of `length` bytes, two's complement. */
  integer(length: number): number {
    if (length > 8) throw this.#bad('a whole number of more than 64 bits');
    const start = this.skip(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[start + i] as number);
    return Number(length === 0 ? 0n : BigInt.asIntN(length * 8, value));
  }

  text(length: number): string {
    if (length > MAX_TEXT)
      throw this.#bad(`a text of ${length} bytes in the pickle; expected lists of numbers`);
    return this.#bytes.toString('utf8', this.skip(length), this.#at);
  }

  /** Up to the next line feed, which is passed over. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > MAX_TEXT) throw this.#bad('the pickle ends early');
    const read = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return read;
  }
}
