import type { Files } from "../files/files.ts";
import type { Progress } from "../progress.ts";

/** A certificate with its chain and its key: as PEM, or the paths of their files. */
export interface PemPair {
  readonly certificate: string;
  readonly key: string;
}

/** Throws `file-missing`, `file-failed`. */
export const readPemPair = async (
  { certificate, key }: PemPair,
  files: Pick<Files, "readText">,
): Promise<PemPair> => ({
  certificate: await files.readText(certificate),
  key: await files.readText(key),
});

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
