import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { MigrationError } from "../../errors.ts";
import type { Files } from "../files/files.ts";
import type { Progress } from "../progress.ts";

/** A certificate with its chain and its key: as PEM, or the paths of their files. */
export interface PemPair {
  readonly certificate: string;
  readonly key: string;
}

/** Throws `certificate-unusable` for two files that no server can use, and what reading a file throws. */
export async function readPemPair(paths: PemPair, files: Pick<Files, "readText">): Promise<PemPair> {
  const pair = { certificate: await files.readText(paths.certificate), key: await files.readText(paths.key) };
  assertUsable(paths, pair);
  return pair;
}

/** OpenSSL's own messages name neither the file nor what to do. */
function assertUsable(paths: PemPair, { certificate, key }: PemPair): void {
  const first = parsed(
    () => new X509Certificate(certificate),
    `${paths.certificate} does not begin with a certificate in PEM form`,
    "--certificate wants the certificate with its chain, such as certbot's fullchain.pem",
  );
  const secret = parsed<KeyObject>(
    () => createPrivateKey(key),
    `${paths.key} contains no private key in PEM form that can be read without a passphrase`,
    "--key wants the certificate's key, such as certbot's privkey.pem; openssl pkey -in FILE -out OTHER takes a passphrase away",
  );
  if (!first.checkPrivateKey(secret))
    throw new MigrationError(
      "certificate-unusable",
      `the key in ${paths.key} is not that of the first certificate in ${paths.certificate}`,
      { hint: "give both files of one certificate; the server's own certificate comes before its chain" },
    );
  parsed(
    () => createSecureContext({ cert: certificate, key }),
    `the chain in ${paths.certificate}, or the kind of its key, cannot be used for TLS`,
    "openssl s_server -cert CERTIFICATE -key KEY says why",
  );
}

function parsed<T>(parse: () => T, message: string, hint: string): T {
  try {
    return parse();
  } catch (cause) {
    throw new MigrationError("certificate-unusable", message, { hint, cause });
  }
}

/** A renewed certificate is used at once; a faulty one never replaces the one that works. Returns what is in use now. */
export async function renewPemPair(
  paths: PemPair,
  current: PemPair,
  listener: { setCertificate(tls: PemPair): void },
  { files, progress }: { readonly files: Pick<Files, "readText">; readonly progress: Pick<Progress, "note"> },
): Promise<PemPair> {
  try {
    const pair = await readPemPair(paths, files);
    if (pair.certificate === current.certificate && pair.key === current.key) return current;
    listener.setCertificate(pair);
    progress.note(`the certificate in ${paths.certificate} was renewed and is used`);
    return pair;
  } catch {
    progress.note(`the certificate in ${paths.certificate} cannot be used; the one before is kept`);
    return current;
  }
}
