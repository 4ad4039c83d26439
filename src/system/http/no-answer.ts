/** Why no answer came. `no-route`: this host itself has no way there, which says nothing of the other side. */
export type Silence =
  "refused" | "timed-out" | "no-route" | "no-name" | "certificate" | "not-tls" | "too-large" | "broken";

/** Nothing, or nothing usable, came back from another server. The message is a few words that name no place. */
export class NoAnswer extends Error {
  readonly kind: Silence;

  constructor(kind: Silence, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "NoAnswer";
    this.kind = kind;
  }
}

const KINDS: readonly (readonly [RegExp, Silence, string?])[] = [
  [/^ECONNREFUSED$/, "refused", "the connection was refused"],
  [/^ETIMEDOUT$|TIMEOUT$/, "timed-out", "the connection timed out"],
  [/^(ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT)$/, "no-route", "this host has no way to that network"],
  [/^(ENOTFOUND|EAI_)/, "no-name", "there is no address for the name"],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, "certificate", "the certificate is for other names"],
  [/^CERT_HAS_EXPIRED$/, "certificate", "the certificate has expired"],
  [/CERT|SELF_SIGNED|UNABLE_TO|CRL_/, "certificate"],
  [/^(EPROTO$|ERR_SSL_)/, "not-tls", "there is no usable TLS"],
  [/^EHOSTUNREACH$/, "broken", "the host cannot be reached"],
  [/^ECONNRESET$/, "broken", "the connection was broken off"],
];

/** What an error of a socket, of TLS or of HTTP means. An error of our own stays itself. */
export function noAnswer(error: unknown): NoAnswer {
  if (error instanceof NoAnswer) return error;
  // Several addresses of one name that all failed arrive as one error that holds theirs.
  const first = error instanceof AggregateError ? (error.errors as unknown[])[0] : error;
  const { code = "", message } = first as Error & { code?: string };
  const [, kind, words] = KINDS.find(([pattern]) => pattern.test(code)) ?? [undefined, "broken" as const];
  return new NoAnswer(kind, words ?? plain(message), error);
}

/** OpenSSL's and Node's own words, on one line: "self-signed certificate". */
const plain = (message: string) => message.replaceAll(/\s+/g, " ").slice(0, 120);
