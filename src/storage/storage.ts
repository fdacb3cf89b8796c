/** What the reader needs to know of an object before it reads a byte of it. */
export interface ObjectStat {
  /** Bytes. */
  readonly size: number;
  /**
   * What tells this version of the object from others (an entity tag, or what the server has for one); absent on
   * local disk. It names bytes within one store only, so that nothing that is written may depend on it.
   */
  readonly etag?: string;
  /** Milliseconds since 1970 by the store's clock, where it tells. */
  readonly modified?: number;
  /**
   * On local disk, what moves when the file is written to, replaced, linked or given other times or rights (`FilePin`): where it
   * has moved the bytes may be others, where it has not they are the same. Nothing that is written as a result may depend on it.
   */
  readonly pin?: string;
}

export interface ListOptions {
  /** Only the objects directly in the folder. Default: everything below it. */
  readonly shallow?: boolean;
  /** Is told of every link to a folder below the folder: what it leads to is not listed. */
  readonly linked?: (path: string) => void;
}

export interface StagingOptions {
  /**
   * What `commit` does where another writer has put other bytes under the path since `stage`: `refuse` (the
   * default) where the store can tell, or `replace`. Equal bytes are no conflict. Local disk always replaces.
   */
  readonly onConflict?: 'refuse' | 'replace';
  /**
   * The file stands alone, in a folder that nobody sweeps: what writers that are no more staged under its name is
   * removed first. Of local disk; a bucket's uploads are swept by their age.
   */
  readonly alone?: boolean;
}

/** Bytes written under a staging name. Nothing is visible under `path` until `commit` returns. */
export interface StagedFile {
  readonly path: string;
  /** Appends bytes; resolves when they are handed to the store (back-pressure). */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * Makes the bytes durable (fsync) and visible under `path` at once (rename), replacing what was there.
   * @throws TokensieveError (fatal) `written-meanwhile` as `StagingOptions.onConflict` says
   */
  commit(): Promise<void>;
  /** Throws the staged bytes away. Safe to call at any time, also after a failed `commit`. */
  abort(): Promise<void>;
}

/**
 * All input and output of the pipeline goes through this. Paths are strings of the store's own kind
 * (absolute or relative file paths for local disk, URLs for others). Errors are `TokensieveError`s that name the
 * path.
 */
export interface Storage {
  stat(path: string): Promise<ObjectStat>;
  /**
   * Bytes [start, end) of the object; fewer are an error.
   * @param version what `stat` said of it: bytes of any other version are an error (`object-changed`)
   */
  readRange(path: string, start: number, end: number, version?: ObjectStat): Promise<Uint8Array>;
  /**
   * Every object below `folder`, as paths that begin with `folder`, sorted by code unit; staging files are left
   * out. Empty when there is no such folder.
   */
  list(folder: string, options?: ListOptions): Promise<readonly string[]>;
  /** What `list` gives, with each object's size in bytes, where the store can tell both at once. See `sizesBelow`. */
  sizes?(folder: string): Promise<ReadonlyMap<string, number>>;
  /** Opens a staging file for `path`, making parent folders as needed. */
  stage(path: string, options?: StagingOptions): Promise<StagedFile>;
  /** Removes an object; not an error when it is absent. */
  remove(path: string): Promise<void>;
  /** Removes what writers that are no more left staged below `folder`; what was removed. */
  sweep?(folder: string): Promise<readonly string[]>;
}
