export interface BrokenStreamOptions extends ErrorOptions {
  /** Whether what came before the break is whole, so that a last line without its newline may be taken. */
  readonly whole?: boolean;
}

/** The bytes are cut off, corrupt or followed by something else; everything before was given out. */
export class BrokenStream extends Error {
  readonly whole: boolean;

  constructor(message: string, { whole = false, ...options }: BrokenStreamOptions = {}) {
    super(message, options);
    this.whole = whole;
  }
}

/** The first bytes say that the file is something else: no row of it can be read. */
export class OtherForm extends BrokenStream {}

/** What to tell of it. */
export const breakOf = (error: BrokenStream): string =>
  error instanceof OtherForm ? error.message : `the stream breaks off: ${error.message}`;
