/**
 * How the manifests of one folder are named, read and written. Those of a data set's parts and those of an export's
 * shards differ; what they mean does not: a part is done if and only if its manifest is there and is the expected one.
 */
import type { PartPlace } from '../dataset/part-files.js';
import type { TokensieveError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { Storage } from '../storage/storage.js';

/** As much of a manifest as the engine looks at. */
export interface AnyManifest {
  readonly fingerprint: string;
  readonly recipe: unknown;
  readonly outputs: readonly { readonly name: string; readonly bytes: number }[];
}

/** What a part's manifest must say to count as this run's. */
export interface ExpectedPart {
  readonly fingerprint: string;
  readonly recipe: JsonObject;
  /** What else the fingerprint is of and a manifest tells, so that a difference can be named. */
  readonly known: object;
}

/** A finished part that was made otherwise. */
export interface StalePart {
  /** Of its manifest. */
  readonly path: string;
  readonly why: readonly string[];
  /** Made by older rules, of the expected fingerprint: nothing but the rules differs. */
  readonly outdated: boolean;
}

export interface Manifests<M extends AnyManifest> {
  /** Of the parts. */
  readonly folder: string;
  /** Path of a part's manifest; `placeOf` is its inverse, null for other paths. */
  path(place: PartPlace): string;
  placeOf(path: string): PartPlace | null;
  /** @throws TokensieveError (input) `bad-manifest` where it is damaged */
  read(storage: Storage, path: string): Promise<M>;
  bytes(manifest: M): Uint8Array;
  /** Path of an output, by its name in the manifest of this path; null where it would lie elsewhere. */
  output(path: string, name: string): string | null;
  /** What `ExpectedPart.known` is held against. */
  known(manifest: M): object;
  /** What refuses parts that this command does not make, the first of `count` at `path`. */
  leftoversError(path: string, count: number): TokensieveError;
  /** Files of a part that nobody makes any more; null where the manifest is not this folder's to remove. */
  filesOf(storage: Storage, place: PartPlace): Promise<readonly string[] | null>;
  /**
   * What else is there to tell of a damaged manifest's part, a line each, if it was of another recipe; null where nothing
   * tells so.
   */
  otherRecipe(
    storage: Storage,
    path: string,
    expected: ExpectedPart,
    error: Error,
  ): Promise<readonly string[] | null>;
}
