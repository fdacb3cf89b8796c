/** The parts of a multipart upload, sent as they come: nobody sees them before the upload is completed. */
import { setTimeout as wait } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { fatalError } from '../errors.js';
import { parseS3, type S3Access } from './s3-client.js';
import { isMissing } from './s3-error.js';

/** Stores take 10,000 parts: 78 GiB a file. */
export const PART_BYTES = 8 * 2 ** 20;
const MAX_PARTS = 10_000;
/** Parts of one file that are under way at once; with the one that fills, what a file takes of memory. */
const IN_FLIGHT = 2;
/** Times that an upload is thrown away at most, and the first wait between two. */
const DROP_ATTEMPTS = 5;
const DROP_WAIT_MS = 50;

export interface MultipartUpload {
  /** Whether a part was sent: without one there is nothing to complete or to throw away. */
  readonly isBegun: () => boolean;
  /** Sends the next part, once few enough are under way. @throws TokensieveError `too-large` (fatal) */
  push(body: Uint8Array): Promise<void>;
  /** What completes it, once all parts are there. */
  parts(): Promise<{ readonly UploadId: string; readonly MultipartUpload: { Parts: CompletedPart[] } }>;
  /** Throws it away; a store that does not hear of it does so by `sweep`. */
  drop(): Promise<void>;
}

export function openUpload({ client, call }: S3Access, path: string): MultipartUpload {
  const object = parseS3(path);
  let upload: Promise<string> | null = null;
  const parts: Promise<CompletedPart>[] = [];
  const stopped = new AbortController();

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

  /** Whether the store has never heard of the upload. */
  const isForgotten = (UploadId: string): Promise<boolean> =>
    call('remove', path, 0, (abortSignal) =>
      client.send(new AbortMultipartUploadCommand({ ...object, UploadId }), { abortSignal }).then(
        () => false,
        (error: unknown) => {
          if (isMissing(error)) return true;
          throw error;
        },
      ),
    );

  return {
    isBegun: () => upload !== null,
    async push(body) {
      if (parts.length === MAX_PARTS)
        throw fatalError(
          'too-large',
          `${path}: more than ${MAX_PARTS} parts of ${PART_BYTES} bytes; make smaller parts (--part-bytes)`,
        );
      await parts[parts.length - IN_FLIGHT];
      upload ??= begin();
      const part = sendPart(upload, parts.length + 1, body);
      part.catch(() => {});
      parts.push(part);
    },
    async parts() {
      upload ??= begin();
      const UploadId = await upload;
      return { UploadId, MultipartUpload: { Parts: await Promise.all(parts) } };
    },
    async drop() {
      if (upload === null) return;
      stopped.abort();
      await Promise.allSettled(parts);
      const UploadId = await upload;
      // A part that was under way when its request was given up may arrive after the upload was thrown away, and keep it
      // alive: so it is thrown away until the store has never heard of it.
      for (let attempt = 0; attempt < DROP_ATTEMPTS; attempt++) {
        if (attempt > 0) await wait(DROP_WAIT_MS * 2 ** (attempt - 1));
        if (await isForgotten(UploadId)) return;
      }
    },
  };
}
