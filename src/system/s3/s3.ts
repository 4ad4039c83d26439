import { setTimeout as wait } from "node:timers/promises";
import type * as S3 from "@aws-sdk/client-s3";
import { MigrationError } from "../../errors.ts";
import type { Bytes } from "../bytes.ts";
import { describeBucket, storageFailed } from "./errors.ts";
import type { ObjectStore, ObjectStoreAddress, ObjectStores, StoredObject } from "./object-store.ts";

/** Milliseconds. */
const CONNECT = 10_000;
const ANSWER = 60_000;

/** The number of attempts for a request; the SDK increases the delay each time. */
const ATTEMPTS = 6;

/** How many broken connections without progress are tolerated while an object is read. */
const BREAKS = 5;

/** A bucket, read through the AWS SDK. */
function s3Store(address: ObjectStoreAddress, signal: AbortSignal): ObjectStore {
  const { bucket, prefix, customerKey } = address;
  const name = describeBucket(address);
  let sdk: ReturnType<typeof connect> | undefined;
  const use = () => (sdk ??= connect(address));
  const key = customerKey
    ? { SSECustomerKey: customerKey.key, SSECustomerAlgorithm: customerKey.algorithm }
    : {};
  const options = { abortSignal: signal };

  const ask = async <T>(
    what: string,
    act: (tools: Awaited<ReturnType<typeof use>>) => Promise<T>,
  ): Promise<T> => {
    signal.throwIfAborted();
    try {
      return await act(await use());
    } catch (error) {
      signal.throwIfAborted();
      throw storageFailed(error, name, what);
    }
  };

  return {
    name,

    look: (path) =>
      ask(path, async ({ s3, client }) => {
        try {
          const request = new s3.HeadObjectCommand({ Bucket: bucket, Key: prefix + path, ...key });
          const { ContentLength = 0, LastModified } = await client.send(request, options);
          return { name: path, size: ContentLength, mtimeMs: LastModified?.getTime() ?? 0 };
        } catch (error) {
          if ((error as Error).name === "NotFound" || (error as Error).name === "NoSuchKey") return undefined;
          throw error;
        }
      }),

    async *list(start, after) {
      let token: string | undefined;
      do {
        const page = await ask("its list of objects", ({ s3, client }) =>
          client.send(
            new s3.ListObjectsV2Command({
              Bucket: bucket,
              Prefix: prefix + start,
              ...(token === undefined
                ? after !== undefined && { StartAfter: prefix + after }
                : { ContinuationToken: token }),
            }),
            options,
          ),
        );
        token = page.IsTruncated ? page.NextContinuationToken : undefined;
        yield (page.Contents ?? []).map(({ Key = "", Size = 0, LastModified }): StoredObject => ({
          name: Key.slice(prefix.length),
          size: Size,
          mtimeMs: LastModified?.getTime() ?? 0,
        }));
      } while (token !== undefined);
    },

    async *read(path, size) {
      let read = 0;
      let tag: string | undefined;
      for (let breaks = 0; ;) {
        const [from, same] = [read, tag];
        const answer = await ask(path, ({ s3, client }) =>
          client.send(
            new s3.GetObjectCommand({
              Bucket: bucket,
              Key: prefix + path,
              ...key,
              ...(from > 0 ? { Range: `bytes=${from}-` } : {}),
              ...(from > 0 && same !== undefined ? { IfMatch: same } : {}),
            }),
            options,
          ),
        );
        tag ??= answer.ETag;
        if (from + (answer.ContentLength ?? 0) !== size) throw changed(path, name, size);
        let failure: unknown = new Error("the download stopped early");
        try {
          for await (const chunk of withTimeout(answer.Body as Bytes & { destroy?(): void }, signal)) {
            read += chunk.length;
            yield chunk;
          }
        } catch (error) {
          signal.throwIfAborted();
          failure = error;
        }
        if (read === size) return;
        breaks = read > from ? 1 : breaks + 1;
        if (breaks > BREAKS) throw storageFailed(failure, name, path);
        await wait(100 * 2 ** breaks, undefined, { signal });
      }
    },

    close() {
      void sdk?.then(({ client }) => {
        client.destroy();
      });
      sdk = undefined;
    },
  };
}

async function connect({
  endpoint,
  region,
  credentials,
}: ObjectStoreAddress): Promise<{ s3: typeof S3; client: S3.S3Client }> {
  // Loaded only when needed: it takes a quarter of a second and 30 MB.
  const s3 = await import("@aws-sdk/client-s3");
  const client = new s3.S3Client({
    // As in boto3, which the old server uses: with a custom endpoint the bucket is in the path.
    ...(endpoint === undefined ? { followRegionRedirects: true } : { endpoint, forcePathStyle: true }),
    ...(region !== undefined ? { region } : endpoint !== undefined ? { region: "us-east-1" } : {}),
    ...(credentials ? { credentials } : {}),
    maxAttempts: ATTEMPTS,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { connectionTimeout: CONNECT, requestTimeout: ANSWER, throwOnRequestTimeout: true },
    logger: SILENT,
  });
  return { s3, client };
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** Passes bytes on, with a time-out for each wait. The body is destroyed if it is not read to its end. */
async function* withTimeout(body: Bytes & { destroy?(): void }, signal: AbortSignal): Bytes {
  const chunks = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const over = new AbortController();
      const tooLong = wait(ANSWER, undefined, { signal: AbortSignal.any([signal, over.signal]) }).then(() => {
        throw new Error("the download stalled");
      });
      tooLong.catch(() => undefined);
      const next = await Promise.race([chunks.next(), tooLong]).finally(() => {
        over.abort();
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    body.destroy?.();
  }
}

const changed = (path: string, name: string, size: number) =>
  new MigrationError(
    "source-changed",
    `${path} in ${name} does not have the expected size of ${size} bytes`,
    {
      hint: "run the same command again; completed work is kept",
    },
  );
export const realObjectStores = (signal: AbortSignal): ObjectStores => ({
  open: (address) => s3Store(address, signal),
});
