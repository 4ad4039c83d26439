import { MigrationError } from "../../errors.ts";
import { noAnswer } from "../http/no-answer.ts";
import type { ObjectStoreAddress } from "./object-store.ts";

/** For people: "the bucket media at https://s3.example.org", and where in it. */
export function nameOf({ bucket, prefix, endpoint }: ObjectStoreAddress): string {
  const where = prefix === "" ? bucket : `${bucket}/${prefix}`;
  return endpoint === undefined
    ? `the bucket ${where}`
    : `the bucket ${where} at ${withoutSecrets(endpoint)}`;
}

/** An address may hold a name and a password. */
function withoutSecrets(address: string): string {
  const url = URL.parse(address);
  return url ? url.origin : "an address that is none";
}

interface Answer {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** The words of the servers' own codes; https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. */
const MEANINGS: readonly (readonly [RegExp, string, string])[] = [
  [
    /^(CredentialsProviderError|TokenProviderError)$/,
    "there are no credentials for it",
    "the old server has them from its surroundings: run synlift with the same (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role)",
  ],
  [
    /^(InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|TokenRefreshRequired)$/,
    "its server refuses the credentials",
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
    "the object is in an archive that must be asked to bring it back",
    "restore it to a storage class that can be read, as GLACIER cannot, then run the same command again",
  ],
  [
    /^(SlowDown|Throttling\w*|TooManyRequests\w*|RequestLimitExceeded|ServiceUnavailable|503)$/,
    "its server asks to slow down",
    "wait a little, then run the same command again: what is finished is kept",
  ],
  [
    /Region is missing/,
    "nothing says in which region it is",
    "set region_name of the storage provider, or AWS_REGION",
  ],
  [/Invalid URL|UnknownEndpoint/, "its address is none", "check endpoint_url of the storage provider"],
];

/** What a failure of the SDK means. An error of our own stays itself. Of a server's text nothing is shown: it may quote a key. */
export function storageFailed(error: unknown, name: string, what: string): MigrationError {
  if (error instanceof MigrationError) return error;
  const answer = error as Answer;
  const status = answer.$metadata?.httpStatusCode;
  if (answer.name === "NoSuchKey" || answer.name === "NotFound")
    return new MigrationError("file-missing", `${what} is not in ${name}`, { cause: error });
  if (answer.name === "PreconditionFailed" || status === 412)
    return new MigrationError("source-changed", `${what} in ${name} became another one while it was read`, {
      hint: "run the same command again; what is finished is kept",
    });
  const told = [answer.name ?? "", answer.code ?? "", answer.message ?? "", String(status ?? "")];
  const found = MEANINGS.find(([pattern]) => told.some((one) => pattern.test(one)));
  const reason =
    found?.[1] ?? (status === undefined ? noAnswer(error).message : `its server answers ${status}`);
  return new MigrationError("storage-failed", `${what} cannot be had from ${name}: ${reason}`, {
    hint:
      found?.[2] ??
      "see that this host reaches the storage, then run the same command again: what is finished is kept",
    cause: error,
  });
}
