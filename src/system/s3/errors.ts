import { MigrationError } from "../../errors.ts";
import { toNoAnswer } from "../http/no-answer.ts";
import type { ObjectStoreAddress } from "./object-store.ts";

/** The bucket as text: "the bucket media/prefix at https://s3.example.org". */
export function describeBucket({ bucket, prefix, endpoint }: ObjectStoreAddress): string {
  const where = prefix === "" ? bucket : `${bucket}/${prefix}`;
  return endpoint === undefined
    ? `the bucket ${where}`
    : `the bucket ${where} at ${withoutSecrets(endpoint)}`;
}

/** A URL may contain a user name and a password. */
function withoutSecrets(address: string): string {
  const url = URL.parse(address);
  return url ? url.origin : "an invalid URL";
}

interface Answer {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** The meaning of S3 error codes; https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. */
const MEANINGS: readonly (readonly [RegExp, string, string])[] = [
  [
    /^(CredentialsProviderError|TokenProviderError)$/,
    "there are no credentials for the bucket",
    "the old server gets them from its environment: run synlift with the same (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the instance role)",
  ],
  [
    /^(InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|TokenRefreshRequired)$/,
    "the server rejects the credentials",
    "check access_key_id, secret_access_key and session_token of the storage provider, and this host's clock",
  ],
  [
    /^(AccessDenied|AllAccessDisabled|Forbidden|403)$/,
    "access is denied",
    "the credentials must be allowed to list the bucket and to get its objects (s3:ListBucket, s3:GetObject)",
  ],
  [/^NoSuchBucket$/, "there is no such bucket", "check bucket and endpoint_url of the storage provider"],
  [
    /^(PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException)$/,
    "the bucket is in another region",
    "set region_name of the storage provider to the bucket's region",
  ],
  [
    /^InvalidObjectState$/,
    "the object is archived and must be restored before it can be read",
    "restore it from the archive storage class (such as GLACIER), then run the same command again",
  ],
  [
    /^(SlowDown|Throttling\w*|TooManyRequests\w*|RequestLimitExceeded|ServiceUnavailable|503)$/,
    "the server limits the request rate",
    "wait a few minutes, then run the same command again: completed work is kept",
  ],
  [
    /Region is missing/,
    "the region of the bucket is not set",
    "set region_name of the storage provider, or AWS_REGION",
  ],
  [
    /Invalid URL|UnknownEndpoint/,
    "the endpoint URL is not valid",
    "check endpoint_url of the storage provider",
  ],
];

/** Maps an error of the SDK. A `MigrationError` is returned unchanged. The server's text is not shown: it may quote a key. */
export function storageFailed(error: unknown, name: string, what: string): MigrationError {
  if (error instanceof MigrationError) return error;
  const answer = error as Answer;
  const status = answer.$metadata?.httpStatusCode;
  if (answer.name === "NoSuchKey" || answer.name === "NotFound")
    return new MigrationError("file-missing", `${what} is not in ${name}`, { cause: error });
  if (answer.name === "PreconditionFailed" || status === 412)
    return new MigrationError("source-changed", `${what} in ${name} was replaced while it was read`, {
      hint: "run the same command again; completed work is kept",
    });
  const told = [answer.name ?? "", answer.code ?? "", answer.message ?? "", String(status ?? "")];
  const found = MEANINGS.find(([pattern]) => told.some((one) => pattern.test(one)));
  const reason =
    found?.[1] ?? (status === undefined ? toNoAnswer(error).message : `the server returned status ${status}`);
  return new MigrationError("object-storage-failed", `cannot read ${what} from ${name}: ${reason}`, {
    hint:
      found?.[2] ??
      "check that this host can reach the storage, then run the same command again: completed work is kept",
    cause: error,
  });
}
