/**
 * Writing to an object store. Bytes are sent in parts of a multipart upload as they come, which nobody sees before it
 * is completed; what fits one part is a single put. Both carry a condition: that the path holds what it held when
 * the file was staged. A write whose condition fails is compared with what is there. Equal bytes are what two writers
 * of one part leave, or the first try of a request whose answer was lost; others are a conflict.
 */
import { createHash } from 'node:crypto';
import { CompleteMultipartUploadCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { fatalError, TokensieveError } from '../errors.js';
import { parseS3, type S3Access } from './s3-client.js';
import { codeOf, isConflict, isMissing } from './s3-error.js';
import { openUpload, PART_BYTES } from './s3-upload.js';
import type { StagedFile, StagingOptions, Storage } from './storage.js';

/** Bytes of a comparison read at once. */
const COMPARED_BYTES = 4 * 2 ** 20;

/** Tag of what lay under the path; null where nothing did. */
type Known = string | null;

export async function stageS3(
  access: S3Access,
  reads: Pick<Storage, 'stat' | 'readRange'>,
  path: string,
  { onConflict = 'refuse' }: StagingOptions,
): Promise<StagedFile> {
  const upload = openUpload(access, path);
  const hash = createHash('sha256');
  let size = 0;
  const held = holdBytes(PART_BYTES);
  let state: 'open' | 'committed' | 'gone' = 'open';
  // Waited for: an answer that came after another writer's commit would take its file for what was there before.
  const known = onConflict === 'refuse' ? await knownTag(access, path) : undefined;

  async function abort(): Promise<void> {
    if (state !== 'open') return;
    state = 'gone';
    held.take();
    await upload.drop().catch(() => {});
  }

  /** Runs one step; whatever goes wrong leaves nothing behind. */
  async function step(act: () => Promise<void>): Promise<void> {
    if (state !== 'open') {
      throw fatalError(
        'staging-closed',
        `${path}: the staged file was already ${state === 'gone' ? 'thrown away' : state}.`,
      );
    }
    try {
      await act();
    } catch (error) {
      await abort();
      throw error;
    }
  }

  return {
    path,
    write: (bytes) =>
      step(async () => {
        hash.update(bytes);
        size += bytes.length;
        for (let at = 0; at < bytes.length; ) {
          at += held.add(bytes, at);
          if (held.isFull()) await upload.push(held.take());
        }
      }),
    commit: () =>
      step(async () => {
        let appear: Appear;
        if (upload.isBegun()) {
          if (!held.isEmpty()) await upload.push(held.take());
          appear = completing(access, path, await upload.parts());
        } else {
          appear = putting(access, path, held.take());
        }
        const sha256 = hash.digest('hex');
        const isThere = () => holds(reads, path, { size, sha256 });
        if ((await appears(access, path, appear, { known, isThere })) === 'was-there') await upload.drop();
        state = 'committed';
      }),
    abort,
  };
}

/** Bytes that wait until they are a part's. */
function holdBytes(limit: number) {
  let pieces: Uint8Array[] = [];
  let held = 0;
  return {
    /** Takes of `bytes` from `from` on what is still missing, and says how many. A copy: the writer may use its buffer again. */
    add(bytes: Uint8Array, from: number): number {
      const piece = bytes.slice(from, from + limit - held);
      pieces.push(piece);
      held += piece.length;
      return piece.length;
    },
    isEmpty: () => held === 0,
    isFull: () => held === limit,
    take(): Uint8Array {
      const body = Buffer.concat(pieces, held);
      pieces = [];
      held = 0;
      return body;
    },
  };
}

function knownTag({ client, call }: S3Access, path: string): Promise<Known> {
  return call('write', path, 0, async (abortSignal) => {
    try {
      return (await client.send(new HeadObjectCommand(parseS3(path)), { abortSignal })).ETag ?? null;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  });
}

type Condition = { readonly IfNoneMatch: '*' } | { readonly IfMatch: string };
const condition = (tag: Known): Condition => (tag === null ? { IfNoneMatch: '*' } : { IfMatch: tag });

/** The request that makes an object appear. */
interface Appear {
  /** Bytes that it carries itself. */
  readonly bytes: number;
  send(when: Partial<Condition>, signal: AbortSignal): Promise<unknown>;
}

const putting = ({ client }: S3Access, path: string, Body: Uint8Array): Appear => ({
  bytes: Body.length,
  send: (when, abortSignal) =>
    client.send(new PutObjectCommand({ ...parseS3(path), Body, ...when }), { abortSignal }),
});

const completing = (
  { client }: S3Access,
  path: string,
  parts: Pick<CompleteMultipartUploadCommand['input'], 'UploadId' | 'MultipartUpload'>,
): Appear => ({
  bytes: 0,
  send: (when, abortSignal) =>
    client.send(new CompleteMultipartUploadCommand({ ...parseS3(path), ...parts, ...when }), {
      abortSignal,
    }),
});

/**
 * Makes the object appear, on condition that the path holds what it held. Where the condition fails, the very bytes may
 * be there all the same.
 * @param known undefined where there is no condition
 * @throws TokensieveError `written-meanwhile` (fatal)
 */
async function appears(
  { call }: S3Access,
  path: string,
  { bytes, send }: Appear,
  { known, isThere }: { readonly known: Known | undefined; isThere(): Promise<boolean> },
): Promise<'made' | 'was-there'> {
  const outcome = await call('write', path, bytes, async (signal) => {
    try {
      await send(known === undefined ? {} : condition(known), signal);
      return 'done' as const;
    } catch (error) {
      if (isConflict(error) || isMissing(error)) return error;
      throw error;
    }
  });
  if (outcome === 'done') return 'made';
  if (await isThere()) return 'was-there';
  if (!isConflict(outcome) && codeOf(outcome) !== 'NoSuchUpload' && typeof known === 'string') {
    // What was to be replaced is gone: absent is what the path is now known to be.
    await call('write', path, bytes, (signal) => send(condition(null), signal));
    return 'made';
  }
  throw fatalError(
    'written-meanwhile',
    `${path}: another run has written here since this one began the file, and other bytes; nothing was replaced. See that one run writes into this folder, then run the command again.`,
  );
}

/** Whether the object holds the very bytes that were staged. */
async function holds(
  reads: Pick<Storage, 'stat' | 'readRange'>,
  path: string,
  { size, sha256 }: { readonly size: number; readonly sha256: string },
): Promise<boolean> {
  try {
    const version = await reads.stat(path);
    if (version.size !== size) return false;
    const found = createHash('sha256');
    for (let at = 0; at < size; at += COMPARED_BYTES) {
      found.update(await reads.readRange(path, at, Math.min(size, at + COMPARED_BYTES), version));
    }
    return found.digest('hex') === sha256;
  } catch (error) {
    if (error instanceof TokensieveError && ['not-found', 'object-changed'].includes(error.code))
      return false;
    throw error;
  }
}
