import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files.ts";
import type { Homeserver } from "../homeserver.ts";
import { readSigningKey } from "./export.ts";
import type { KeyFile } from "./key-file.ts";

/** Is the key there, can Synapse read it, can too many others? Only looks, and never shows more than the public half. */
export async function inspectSigningKey(homeserver: Homeserver, files: Files): Promise<Finding[]> {
  const { signingKey } = homeserver;
  const where = signingKey.kind === "file" ? signingKey.path : "the setting signing_key";
  let read: KeyFile;
  try {
    read = await readSigningKey(homeserver, files);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return [{ id: "signing-key", level: "blocker", sentence: error.message, ...hint }];
  }
  return [keyFinding(read, where), ...weakFindings(read, where), ...(await modeFindings(homeserver, files))];
}

function keyFinding({ keys, badLines }: KeyFile, where: string): Finding {
  const id = "signing-key";
  if (badLines.length === 0 && keys.length > 0) {
    const evidence = keys.map((key) => `${key.id} ${key.publicKey}`);
    return { id, level: "ok", sentence: `the signing key is in ${where}`, evidence };
  }
  const what = badLines.length === 0 ? "holds no key" : `cannot be read at line ${badLines.join(", ")}`;
  return {
    id,
    level: "blocker",
    sentence: `the signing key in ${where} ${what}`,
    hint: "each line must be: ed25519, a version, the key in base64",
  };
}

/** CVE-2026-24044: a chart made keys whose id is always this one from few random bits. */
function weakFindings({ keys }: KeyFile, where: string): Finding[] {
  if (!keys.some(({ id }) => id === "ed25519:0")) return [];
  return [
    {
      id: "signing-key-weak",
      level: "warning",
      sentence: `the signing key in ${where} has the id ed25519:0, as keys have that can be guessed (CVE-2026-24044)`,
      hint: "if Element Server Suite made this key, make a new one after the move and list this one in old_signing_keys",
    },
  ];
}

async function modeFindings({ signingKey }: Homeserver, files: Files): Promise<Finding[]> {
  if (signingKey.kind === "inline") return [];
  const mode = (await files.follow(signingKey.path))?.mode ?? 0;
  if ((mode & ~0o640) === 0) return [];
  return [
    {
      id: "signing-key-mode",
      level: "warning",
      sentence: `the signing key at ${signingKey.path} has the mode 0${mode.toString(8)}, others may read or change it`,
      hint: `chmod 0640 ${signingKey.path}`,
    },
  ];
}
