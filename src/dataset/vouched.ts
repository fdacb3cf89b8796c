/** Files of finished parts whose every byte that is used is one that their manifest vouches for. */
import { inputError } from '../errors.js';
import type { ObjectStat, Storage } from '../storage/storage.js';
import { fileDigest } from './file-digest.js';
import { digestOf, type Manifest, type ManifestOutput } from './manifest.js';

/** What a file was when it was found whole, by manifest and kind: parts are opened again and again. */
const whole = new WeakMap<Pick<Manifest, 'outputs'>, Map<ManifestOutput['kind'], string>>();

/** How a file of a part is read: through, its digest checked on the way; or here and there, its digest checked first. */
export interface Vouched {
  /** sha256 of the manifest; undefined where it names no such file. */
  readonly sha256: string | undefined;
  /** @throws TokensieveError (input) `part-damaged` where the file's bytes are not those of its manifest */
  check(): Promise<void>;
  /** Batches that check the digest by themselves; once they are through, the file need not be checked again. */
  through<T>(batches: AsyncIterable<T>): AsyncGenerator<T>;
}

export function vouchedFile(
  storage: Storage,
  path: string,
  manifest: Manifest,
  kind: ManifestOutput['kind'],
): Vouched {
  const sha256 = digestOf(manifest, kind);
  let checked: Promise<void> | undefined;
  const isKnown = (version: string): boolean => whole.get(manifest)?.get(kind) === version;
  const note = (version: string): void => {
    const known = whole.get(manifest) ?? new Map<ManifestOutput['kind'], string>();
    whole.set(manifest, known.set(kind, version));
  };
  const check = async (): Promise<void> => {
    const stat = await storage.stat(path);
    if (isKnown(versionOf(stat))) return;
    const found = await fileDigest(storage, path, stat.size);
    if (found !== sha256) {
      throw inputError(
        'part-damaged',
        `${path}: has sha256 ${found}; its manifest says ${sha256 ?? 'nothing of it'}`,
      );
    }
    note(versionOf(stat));
  };
  return {
    sha256,
    check() {
      checked ??= check();
      return checked;
    },
    async *through(batches) {
      const version = versionOf(await storage.stat(path));
      yield* batches;
      if (sha256 !== undefined) note(version);
    },
  };
}

const versionOf = ({ size, etag, pin, modified }: ObjectStat): string =>
  `${size}\t${etag ?? ''}\t${pin ?? modified ?? ''}`;
