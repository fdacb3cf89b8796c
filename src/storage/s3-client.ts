/** The SDK's client, its calls repeated as `patience.ts` says, and s3:// paths. */
import { S3Client } from '@aws-sdk/client-s3';
import { firstLine, usageError } from '../errors.js';
import type { IoAct } from './io-error.js';
import { createPatience, type PatienceSettings } from './patience.js';
import { s3Error } from './s3-error.js';

export interface S3Object {
  readonly Bucket: string;
  readonly Key: string;
}

/** @throws TokensieveError (usage) `bad-url` */
export function parseS3(path: string): S3Object {
  const [, bucket = '', key = ''] = /^s3:\/\/([^/]*)\/?(.*)$/is.exec(path) ?? [];
  // A client or a proxy on the way would take these steps: the object asked for would be another.
  const climbs = key.split('/').some((name) => name === '.' || name === '..');
  if (/^[a-z0-9][a-z0-9._-]{1,253}[a-z0-9]$/i.test(bucket) && !climbs) return { Bucket: bucket, Key: key };
  throw usageError(
    'bad-url',
    `${path}: is no path in an object store; expected s3://BUCKET/KEY without . and .. among its names`,
  );
}

/**
 * Refuses options behind the key that is to be written, such as `?storageClass=…`: they would be a part of its name.
 * @throws TokensieveError (usage) `bad-url`
 */
export function refuseOptions(path: string): void {
  const [options] = /[?&][a-z][\w.-]*=.*$/i.exec(path) ?? [];
  if (options === undefined) return;
  throw usageError(
    'bad-url',
    `${path}: ${options} would be a part of the name; an s3:// path takes no options: endpoint and region come from the environment (AWS_ENDPOINT_URL_S3, AWS_REGION), the class of storage from the bucket's rules`,
  );
}

export interface S3Access {
  readonly client: S3Client;
  /** @param bytes that the request moves, for its time limit */
  call<T>(act: IoAct, path: string, bytes: number, send: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

/**
 * Credentials, region and endpoint come from where AWS's own tools take them (environment, shared files, roles). A
 * store other than AWS is named by `AWS_ENDPOINT_URL_S3` and spoken to by path: http://host/bucket/key.
 * @throws TokensieveError (usage) `bad-region`
 */
export async function openS3(settings?: PatienceSettings): Promise<S3Access> {
  const { env } = process;
  // Which Node the SDK will want next year is not for a run's log.
  env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const endpoint = env['AWS_ENDPOINT_URL_S3'] || env['AWS_ENDPOINT_URL'];
  const options = {
    // Repeats are ours, so that all requests share one budget and one pace.
    maxAttempts: 1,
    followRegionRedirects: true,
    ...(endpoint && { forcePathStyle: true }),
    requestHandler: {
      connectionTimeout: 10_000,
      httpAgent: { maxSockets: 64 },
      httpsAgent: { maxSockets: 64 },
    },
  };
  let client = new S3Client(options);
  try {
    await client.config.region();
  } catch (error) {
    // One that was told and is none must not become another.
    if (!/region is missing/i.test(firstLine(error))) {
      throw usageError(
        'bad-region',
        `${firstLine(error)} Set AWS_REGION, or the region of the profile, to the name of one, such as eu-west-1.`,
        { cause: error },
      );
    }
    client = new S3Client({ ...options, region: 'us-east-1' });
  }
  const patience = createPatience(settings);
  return {
    client,
    call: (act, path, bytes, send) =>
      patience.call(path, bytes, async (signal) => {
        try {
          return await send(signal);
        } catch (error) {
          throw s3Error(act, path, error);
        }
      }),
  };
}
