/** Storage in object stores that speak S3: AWS, or any other that `AWS_ENDPOINT_URL_S3` names. */
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3';
import { inputError } from '../errors.js';
import { objectChanged, readBody } from './http-range.js';
import { PassingFailure, type PatienceSettings } from './patience.js';
import { openS3, parseS3, refuseOptions, type S3Access } from './s3-client.js';
import { archived, isMissing, statusOf } from './s3-error.js';
import { stageS3 } from './s3-stage.js';
import type { ListOptions, ObjectStat, Storage } from './storage.js';

/** Uploads below an output folder that were begun longer ago than this are nobody's. */
const ABANDONED_MS = 24 * 3_600_000;

/** Errors are those of `patience.ts`, `s3-error.ts` and `http-range.ts`. */
export async function s3Storage(settings?: PatienceSettings): Promise<Storage> {
  const access = await openS3(settings);
  const reads = {
    stat: (path: string) => statObject(access, path),
    readRange: (path: string, start: number, end: number, version?: ObjectStat) =>
      readRange(access, path, start, end, version),
  };
  return {
    ...reads,
    list: async (folder, options) => [...(await listObjects(access, folder, options)).keys()],
    sizes: (folder) => listObjects(access, folder),
    async stage(path, options = {}) {
      refuseOptions(path);
      return stageS3(access, reads, path, options);
    },
    remove: (path) => removeObject(access, path),
    sweep: (folder) => sweepUploads(access, folder),
  };
}

async function statObject({ client, call }: S3Access, path: string): Promise<ObjectStat> {
  const object = parseS3(path);
  if (object.Key === '' || object.Key.endsWith('/'))
    throw inputError('not-a-file', `${path}: is a folder, expected an object.`);
  const found = await call('read', path, 0, (abortSignal) =>
    client.send(new HeadObjectCommand(object), { abortSignal }),
  );
  const { StorageClass, ArchiveStatus, Restore } = found;
  const isAway = ArchiveStatus !== undefined || ['GLACIER', 'DEEP_ARCHIVE'].includes(StorageClass ?? '');
  // Known before the work begins, where the first read would tell it later.
  if (isAway && !(Restore ?? '').includes('ongoing-request="false"'))
    throw archived(path, ArchiveStatus ?? StorageClass ?? '');
  const modified = found.LastModified?.getTime();
  return {
    size: found.ContentLength ?? 0,
    ...(found.ETag !== undefined && { etag: found.ETag }),
    ...(modified !== undefined && { modified }),
  };
}

async function readRange(
  { client, call }: S3Access,
  path: string,
  start: number,
  end: number,
  version: ObjectStat | undefined,
): Promise<Uint8Array> {
  if (start === end) return new Uint8Array(0);
  const object = parseS3(path);
  const etag = version?.etag;
  return call('read', path, end - start, async (signal) => {
    const asked = {
      ...object,
      Range: `bytes=${start}-${end - 1}`,
      ...(etag !== undefined && { IfMatch: etag }),
    };
    const found = await client.send(new GetObjectCommand(asked), { abortSignal: signal }).catch((error) => {
      if (statusOf(error) === 412) throw objectChanged(path, version, 'another');
      if (statusOf(error) === 416)
        throw inputError('short-read', `${path}: bytes [${start}, ${end}) asked for, the object has fewer.`);
      throw error;
    });
    const body = found.Body as (AsyncIterable<Uint8Array> & { destroy(error?: Error): void }) | undefined;
    const stop = (): void => body?.destroy(new Error('stopped'));
    signal.addEventListener('abort', stop);
    try {
      const total = Number(/\/(\d+)$/.exec(found.ContentRange ?? '')?.[1] ?? Number.NaN);
      if (etag !== undefined && found.ETag !== undefined && found.ETag !== etag)
        throw objectChanged(path, version, found.ETag);
      if (version !== undefined && Number.isFinite(total) && total !== version.size)
        throw objectChanged(path, version, `one of ${total} bytes`);
      if (Number.isFinite(total) && end > total)
        throw inputError(
          'short-read',
          `${path}: bytes [${start}, ${end}) asked for, the object has ${total}.`,
        );
      if (found.ContentRange !== undefined && !found.ContentRange.startsWith(`bytes ${start}-`))
        throw new PassingFailure(`the store answered with ${found.ContentRange}`);
      return await readBody(body ?? null, end - start);
    } catch (error) {
      stop();
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  });
}

/** Key prefix of what lies below a folder. */
function below(folder: string): { readonly Bucket: string; readonly Prefix: string } {
  const { Bucket, Key } = parseS3(folder);
  return { Bucket, Prefix: Key === '' || Key.endsWith('/') ? Key : `${Key}/` };
}

async function listObjects(
  { client, call }: S3Access,
  folder: string,
  { shallow = false }: ListOptions = {},
): Promise<ReadonlyMap<string, number>> {
  const { Bucket, Prefix } = below(folder);
  const start = folder.endsWith('/') ? folder : `${folder}/`;
  const found: [string, number][] = [];
  for (let token: string | undefined; ; ) {
    const page = await call('list', folder, 0, (abortSignal) =>
      client.send(
        new ListObjectsV2Command({
          Bucket,
          Prefix,
          ...(shallow && { Delimiter: '/' }),
          ...(token !== undefined && { ContinuationToken: token }),
        }),
        { abortSignal },
      ),
    );
    for (const { Key, Size } of page.Contents ?? []) {
      // Consoles mark folders by empty objects that end in a slash.
      if (Key !== undefined && !Key.endsWith('/')) {
        found.push([start + Key.slice(Prefix.length), Size ?? 0]);
      }
    }
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    if (token === undefined) break;
  }
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

async function removeObject({ client, call }: S3Access, path: string): Promise<void> {
  const object = parseS3(path);
  await call('remove', path, 0, async (abortSignal) => {
    try {
      await client.send(new DeleteObjectCommand(object), { abortSignal });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  });
}

/** Aborts uploads below `folder` that are a day old and more: they take up space that no listing shows. */
async function sweepUploads({ client, call }: S3Access, folder: string): Promise<readonly string[]> {
  const { Bucket, Prefix } = below(folder);
  const swept: string[] = [];
  for (let marker: object | undefined = {}; marker !== undefined; ) {
    const after: object = marker;
    const page = await call('list', folder, 0, (abortSignal) =>
      client.send(new ListMultipartUploadsCommand({ Bucket, Prefix, ...after }), { abortSignal }),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key === undefined || UploadId === undefined || !Key.startsWith(Prefix)) continue;
      if (Initiated === undefined || Date.now() - Initiated.getTime() < ABANDONED_MS) continue;
      const path = `s3://${Bucket}/${Key}`;
      await call('remove', path, 0, async (abortSignal) => {
        try {
          await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), { abortSignal });
        } catch (error) {
          if (!isMissing(error)) throw error;
        }
      });
      swept.push(path);
    }
    const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
    marker =
      IsTruncated === true && NextKeyMarker !== undefined
        ? { KeyMarker: NextKeyMarker, UploadIdMarker: NextUploadIdMarker }
        : undefined;
  }
  return swept;
}
