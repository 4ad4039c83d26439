/** Why there is no response. `no-route`: this host has no route to the address, so the server may be fine. */
export type NoAnswerReason =
  "refused" | "timed-out" | "no-route" | "no-name" | "certificate" | "not-tls" | "too-large" | "broken";

/** There was no usable response from a server. The message is short and does not contain the address. */
export class NoAnswer extends Error {
  readonly kind: NoAnswerReason;

  constructor(kind: NoAnswerReason, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "NoAnswer";
    this.kind = kind;
  }
}

const KINDS: readonly (readonly [RegExp, NoAnswerReason, string?])[] = [
  [/^ECONNREFUSED$/, "refused", "the connection was refused"],
  [/^ETIMEDOUT$|TIMEOUT$/, "timed-out", "the connection timed out"],
  [/^(ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT)$/, "no-route", "this host has no route to that network"],
  [/^(ENOTFOUND|EAI_)/, "no-name", "the name has no address"],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, "certificate", "the certificate is for other names"],
  [/^CERT_HAS_EXPIRED$/, "certificate", "the certificate has expired"],
  [/CERT|SELF_SIGNED|UNABLE_TO|CRL_/, "certificate"],
  [/^(EPROTO$|ERR_SSL_)/, "not-tls", "TLS cannot be negotiated"],
  [/^EHOSTUNREACH$/, "broken", "the host cannot be reached"],
  [/^ECONNRESET$/, "broken", "the connection was reset"],
];

/** Turns an error of a socket, of TLS or of HTTP into a `NoAnswer`. A `NoAnswer` is returned unchanged. */
export function toNoAnswer(error: unknown): NoAnswer {
  if (error instanceof NoAnswer) return error;
  // When all addresses of a name failed, the errors are in an AggregateError.
  const first = error instanceof AggregateError ? (error.errors as unknown[])[0] : error;
  const { code = "", message } = first as Error & { code?: string };
  const [, kind, words] = KINDS.find(([pattern]) => pattern.test(code)) ?? [undefined, "broken" as const];
  return new NoAnswer(kind, words ?? plain(message), error);
}

/** The message of OpenSSL or Node on one line: "self-signed certificate". */
const plain = (message: string) => message.replaceAll(/\s+/g, " ").slice(0, 120);
