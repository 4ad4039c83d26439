import { basename } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";
import type { Homeserver } from "../homeserver.ts";
import { type KeyFile, parseKeyFile } from "./key-file.ts";

/** The inventory's section. */
export const KEY_SECTION = "signing-key";

const SigningKeySection = z.object({
  keys: z.array(z.object({ id: z.string(), publicKey: z.string() })).min(1),
  kind: z.enum(["file", "inline"]),
  /** The file's own name. */
  name: z.string().optional(),
});

/** What the inventory says about the signing key: its public half. The key itself travels with the configuration. */
export type SigningKeySection = z.infer<typeof SigningKeySection>;

/** Throws `signing-key-missing` when there is no key, or none that Synapse can use. */
export async function packSigningKey(homeserver: Homeserver, files: Files): Promise<SigningKeySection> {
  const { signingKey } = homeserver;
  const { keys, badLines } = await readSigningKey(homeserver, files);
  const where = signingKey.kind === "file" ? signingKey.path : "signing_key";
  if (badLines.length > 0 || keys.length === 0) {
    throw new MigrationError("signing-key-missing", `the signing key in ${where} cannot be read`, {
      hint: "each line must be: ed25519, a version, the key in base64",
    });
  }
  const section = { keys: keys.map(({ id, publicKey }) => ({ id, publicKey })), kind: signingKey.kind };
  return signingKey.kind === "file" ? { ...section, name: basename(signingKey.path) } : section;
}

/** Throws `bundle-damaged`. */
export function parseSigningKeySection(value: unknown): SigningKeySection {
  const parsed = SigningKeySection.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new MigrationError("bundle-damaged", "the inventory's section on the signing key is not readable");
}

/** The key of a homeserver, wherever it is. Throws `signing-key-missing`. */
export async function readSigningKey(
  { signingKey, configPaths }: Homeserver,
  files: Files,
): Promise<KeyFile> {
  if (signingKey.kind === "inline") {
    // Synapse takes the setting for one line, whatever is in it.
    const parsed = parseKeyFile(signingKey.text);
    return parsed.keys.length + parsed.badLines.length === 1 ? parsed : { keys: [], badLines: [1] };
  }
  try {
    return parseKeyFile(await files.readText(signingKey.path));
  } catch (error) {
    if (!(error instanceof MigrationError && error.code === "file-missing")) throw error;
    throw new MigrationError("signing-key-missing", `no signing key at ${signingKey.path}`, {
      hint: `check signing_key_path in ${configPaths.join(", ")}: without the file Synapse silently generates a new key, and other servers no longer accept its signatures`,
      cause: error,
    });
  }
}
