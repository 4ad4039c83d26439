import { isIP } from "node:net";
import {
  checkServerIdentity,
  connect,
  createSecureContext,
  getCACertificates,
  type PeerCertificate,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { NoAnswer, toNoAnswer } from "./no-answer.ts";

/** A certificate that a server presented. */
export interface Certificate {
  /** The host names and addresses in its subjectAltName, the only field that clients still use. */
  readonly names: readonly string[];
  /** The issuer: "Let's Encrypt, R11". */
  readonly issuer: string;
  /** Milliseconds since 1970. */
  readonly validFrom: number;
  readonly validTo: number;
  /** Whether it is valid for the requested name. */
  readonly fits: boolean;
  /** Whether it is currently valid and issued by a trusted authority. */
  readonly trusted: boolean;
  /** Why it is not trusted; left out when it is. */
  readonly distrust?: string;
}

/**
 * The trusted authorities: those of Node and the given ones; undefined, which means those of Node, without any. Call it
 * once, because loading them takes a tenth of a second.
 */
export function trustStore(authorities: readonly string[]): SecureContext | undefined {
  if (authorities.length === 0) return undefined;
  return createSecureContext({ ca: [...getCACertificates("default"), ...authorities] });
}

interface CertificateOptions {
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly trust: SecureContext | undefined;
}

/** Fetches the certificate for `name` from an address, without trusting it. Rejects with a `NoAnswer`. */
export async function fetchCertificate(
  name: string,
  { address, port }: { readonly address: string; readonly port: number },
  { timeout, signal, trust }: CertificateOptions,
): Promise<Certificate> {
  signal?.throwIfAborted();
  const time = AbortSignal.timeout(timeout);
  const socket = connect({
    host: address,
    port,
    rejectUnauthorized: false,
    ...(isIP(name) ? {} : { servername: name }),
    ...(trust ? { secureContext: trust } : {}),
  });
  const stop = () => socket.destroy(new Error("stopped"));
  const limit = signal ? AbortSignal.any([time, signal]) : time;
  limit.addEventListener("abort", stop, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.on("secureConnect", resolve).on("error", reject);
      socket.on("close", () => {
        reject(new NoAnswer("broken", "the connection was closed unexpectedly"));
      });
    });
    return readCertificate(name, socket);
  } catch (error) {
    signal?.throwIfAborted();
    throw time.aborted
      ? new NoAnswer("timed-out", `no answer within ${timeout / 1000} s`)
      : toNoAnswer(error);
  } finally {
    limit.removeEventListener("abort", stop);
    socket.destroy();
  }
}

function readCertificate(name: string, socket: TLSSocket): Certificate {
  const certificate = socket.getPeerCertificate();
  const names = namesOf(certificate);
  // Node checks the names last and stops at the first error, so a name error means that everything else is valid.
  const fault = socket.authorized ? "" : String(socket.authorizationError);
  const distrust =
    fault === "" || fault.includes("ALTNAME") ? undefined : toNoAnswer(withCode(fault)).message;
  return {
    names,
    issuer: [certificate.issuer.O, certificate.issuer.CN].filter(Boolean).join(", "),
    validFrom: Date.parse(certificate.valid_from),
    validTo: Date.parse(certificate.valid_to),
    fits: names.length > 0 && checkServerIdentity(name, certificate) === undefined,
    trusted: distrust === undefined,
    ...(distrust === undefined ? {} : { distrust }),
  };
}

const withCode = (code: string) =>
  Object.assign(new Error(code.toLowerCase().replaceAll("_", " ")), { code });

/** "DNS:example.org, IP Address:192.0.2.1"; names that contain commas are quoted, and no host has such a name. */
function namesOf({ subjectaltname = "" }: PeerCertificate): string[] {
  return [...subjectaltname.matchAll(/(?:DNS|IP Address):([^\s,"]+)/g)].map(([, name]) => name!);
}
