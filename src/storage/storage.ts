/** What the reader needs to know of an object before it reads a byte of it. */
export interface ObjectStat {
  /** Bytes. */
  readonly size: number;
  /** Entity tag where the store has one (http, S3); absent on local disk. */
  readonly etag?: string;
}

export interface ListOptions {
  /** Only the objects directly in the folder. Default: everything below it. */
  readonly shallow?: boolean;
}

/** Bytes written under a staging name. Nothing is visible under `path` until `commit` returns. */
export interface StagedFile {
  readonly path: string;
  /** Appends bytes; resolves when they are handed to the store (back-pressure). */
  write(bytes: Uint8Array): Promise<void>;
  /** Makes the bytes durable (fsync) and visible under `path` at once (rename), replacing what was there. */
  commit(): Promise<void>;
  /** Throws the staged bytes away. Safe to call at any time, also after a failed `commit`. */
  abort(): Promise<void>;
}

/**
 * All input and output of the pipeline goes through this. Paths are strings of the store's own kind
 * (absolute or relative file paths for local disk). Errors are `TokensieveError`s that name the path.
 */
export interface Storage {
  stat(path: string): Promise<ObjectStat>;
  /** Bytes [start, end) of the object; fewer are an error. */
  readRange(path: string, start: number, end: number): Promise<Uint8Array>;
  /**
   * Every object below `folder`, as paths that begin with `folder`, sorted by code unit; staging files are left
   * out. Empty when there is no such folder.
   */
  list(folder: string, options?: ListOptions): Promise<readonly string[]>;
  /** Opens a staging file for `path`, making parent folders as needed. */
  stage(path: string): Promise<StagedFile>;
  /** Removes an object; not an error when it is absent. */
  remove(path: string): Promise<void>;
}
