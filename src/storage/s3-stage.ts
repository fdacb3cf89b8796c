/**
 * Writing to an object store. Bytes are sent in parts of a multipart upload as they come, which nobody sees before it
 * is completed; what fits one part is a single put. Both carry a condition: that the path holds what it held when
 * the file was staged. A write whose condition fails is compared with what is there. Equal bytes are what two writers
 * of one part leave, or the first try of a request whose answer was lost; others are a conflict.
 */
import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { fatalError, TokensieveError } from '../errors.js';
import { parseS3, type S3Access } from './s3-client.js';
import { codeOf, isConflict, isMissing } from './s3-error.js';
import type { StagedFile, StagingOptions, Storage } from './storage.js';

/** Stores take 10,000 parts: 78 GiB a file. */
const PART_BYTES = 8 * 2 ** 20;
const MAX_PARTS = 10_000;
/** Parts of one file that are under way at once; with the one that fills, what a file takes of memory. */
const IN_FLIGHT = 2;
/** Times that an upload is thrown away at most, and the first wait between two. */
const DROP_ATTEMPTS = 5;
const DROP_WAIT_MS = 50;
/** Bytes of a comparison read at once. */
const COMPARED_BYTES = 4 * 2 ** 20;

/** Tag of what lay under the path; null where nothing did. */
type Known = string | null;

export async function stageS3(
  { client, call }: S3Access,
  reads: Pick<Storage, 'stat' | 'readRange'>,
  path: string,
  { onConflict = 'refuse' }: StagingOptions,
): Promise<StagedFile> {
  const object = parseS3(path);
  const hash = createHash('sha256');
  let size = 0;
  let pieces: Uint8Array[] = [];
  let held = 0;
  let upload: Promise<string> | null = null;
  const parts: Promise<CompletedPart>[] = [];
  let state: 'open' | 'committed' | 'gone' = 'open';
  const stopped = new AbortController();
  // Waited for: an answer that came after another writer's commit would take its file for what was there before.
  const known = onConflict === 'refuse' ? await knownTag() : undefined;

  function knownTag(): Promise<Known> {
    return call('write', path, 0, async (abortSignal) => {
      try {
        return (await client.send(new HeadObjectCommand(object), { abortSignal })).ETag ?? null;
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    });
  }

  async function begin(): Promise<string> {
    // Parts carry checksums where the client is set to send them, and the upload must say so.
    const sums = (await client.config.requestChecksumCalculation()) === 'WHEN_SUPPORTED';
    const asked = { ...object, ...(sums && { ChecksumAlgorithm: 'CRC32' as const }) };
    const { UploadId } = await call('write', path, 0, (abortSignal) =>
      client.send(new CreateMultipartUploadCommand(asked), { abortSignal }),
    );
    if (UploadId !== undefined) return UploadId;
    throw fatalError('io', `${path}: the store began an upload without a name for it.`);
  }

  async function sendPart(begun: Promise<string>, number: number, body: Uint8Array): Promise<CompletedPart> {
    const UploadId = await begun;
    const sent = await call('write', path, body.length, async (signal) => {
      const abortSignal = AbortSignal.any([signal, stopped.signal]);
      const part = new UploadPartCommand({ ...object, UploadId, PartNumber: number, Body: body });
      return client.send(part, { abortSignal }).catch((error) => {
        // Not to be tried again.
        if (stopped.signal.aborted) throw fatalError('staging-closed', `${path}: was thrown away.`);
        throw error;
      });
    });
    const { ETag, ChecksumCRC32 } = sent;
    return {
      PartNumber: number,
      ...(ETag !== undefined && { ETag }),
      ...(ChecksumCRC32 !== undefined && { ChecksumCRC32 }),
    };
  }

  function takeHeld(): Uint8Array {
    const body = Buffer.concat(pieces, held);
    pieces = [];
    held = 0;
    return body;
  }

  /** Sends what is held as the next part, once few enough are under way. */
  async function pushPart(): Promise<void> {
    if (parts.length === MAX_PARTS)
      throw fatalError(
        'too-large',
        `${path}: more than ${MAX_PARTS} parts of ${PART_BYTES} bytes; make smaller parts (--part-bytes)`,
      );
    await parts[parts.length - IN_FLIGHT];
    upload ??= begin();
    const part = sendPart(upload, parts.length + 1, takeHeld());
    part.catch(() => {});
    parts.push(part);
  }

  const condition = (tag: Known) => (tag === null ? { IfNoneMatch: '*' } : { IfMatch: tag });

  async function put(body: Uint8Array): Promise<void> {
    await finish(body.length, (when, abortSignal) =>
      client.send(new PutObjectCommand({ ...object, Body: body, ...when }), { abortSignal }),
    );
  }

  async function complete(UploadId: string): Promise<void> {
    const MultipartUpload = { Parts: await Promise.all(parts) };
    await finish(0, (when, abortSignal) =>
      client.send(new CompleteMultipartUploadCommand({ ...object, UploadId, MultipartUpload, ...when }), {
        abortSignal,
      }),
    );
  }

  /** Makes the object appear, on condition; says whether it is there when the condition fails. */
  async function finish(
    bytes: number,
    send: (when: ReturnType<typeof condition> | object, signal: AbortSignal) => Promise<unknown>,
  ): Promise<void> {
    const outcome = await call('write', path, bytes, async (signal) => {
      try {
        await send(known === undefined ? {} : condition(known), signal);
        return 'done' as const;
      } catch (error) {
        if (isConflict(error) || isMissing(error)) return error;
        throw error;
      }
    });
    if (outcome === 'done') return;
    if (await isThere()) {
      await dropUpload();
      return;
    }
    if (!isConflict(outcome) && codeOf(outcome) !== 'NoSuchUpload' && typeof known === 'string') {
      // What was to be replaced is gone: absent is what the path is now known to be.
      await call('write', path, bytes, (signal) => send(condition(null), signal));
      return;
    }
    throw fatalError(
      'written-meanwhile',
      `${path}: another run has written here since this one began the file, and other bytes; nothing was replaced. See that one run writes into this folder, then run the command again.`,
    );
  }

  const sha256 = once(() => hash.digest('hex'));

  /** Whether the object holds the very bytes that were staged. */
  async function isThere(): Promise<boolean> {
    const expected = sha256();
    try {
      const version = await reads.stat(path);
      if (version.size !== size) return false;
      const found = createHash('sha256');
      for (let at = 0; at < size; at += COMPARED_BYTES) {
        found.update(await reads.readRange(path, at, Math.min(size, at + COMPARED_BYTES), version));
      }
      return found.digest('hex') === expected;
    } catch (error) {
      if (error instanceof TokensieveError && ['not-found', 'object-changed'].includes(error.code))
        return false;
      throw error;
    }
  }

  /** Throws the upload away; a store that does not hear of it does so by `sweep`. */
  async function dropUpload(): Promise<void> {
    if (upload === null) return;
    stopped.abort();
    await Promise.allSettled(parts);
    const UploadId = await upload;
    // A part that was under way when its request was given up may arrive after the upload was thrown away, and keep it alive:
    // so it is thrown away until the store has never heard of it.
    for (let attempt = 0; attempt < DROP_ATTEMPTS; attempt++) {
      if (attempt > 0) await wait(DROP_WAIT_MS * 2 ** (attempt - 1));
      const gone = await call('remove', path, 0, (abortSignal) =>
        client.send(new AbortMultipartUploadCommand({ ...object, UploadId }), { abortSignal }).then(
          () => false,
          (error: unknown) => {
            if (isMissing(error)) return true;
            throw error;
          },
        ),
      );
      if (gone) return;
    }
  }

  async function abort(): Promise<void> {
    if (state !== 'open') return;
    state = 'gone';
    pieces = [];
    await dropUpload().catch(() => {});
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
          // A copy: the writer may use its buffer again once this returns.
          const piece = bytes.slice(at, at + PART_BYTES - held);
          pieces.push(piece);
          held += piece.length;
          at += piece.length;
          if (held === PART_BYTES) await pushPart();
        }
      }),
    commit: () =>
      step(async () => {
        if (upload === null) await put(takeHeld());
        else {
          if (held > 0) await pushPart();
          await complete(await upload);
        }
        state = 'committed';
      }),
    abort,
  };
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
