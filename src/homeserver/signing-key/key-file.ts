import { createPrivateKey, createPublicKey } from "node:crypto";

/** What other servers know of a key. Nothing here is secret. */
export interface SigningKey {
  /** As it appears on the wire: "ed25519:a_EUHY". */
  readonly id: string;
  /** Unpadded base64, as Matrix shows it. */
  readonly publicKey: string;
}

export interface KeyFile {
  /** In the file's order: Synapse signs with the first. */
  readonly keys: readonly SigningKey[];
  /** Numbers of the lines that Synapse would refuse. Their content is not shown: it may be a seed. */
  readonly badLines: readonly number[];
}

/**
 * Reads the public half of the keys in a file. Each line is `ed25519 <version> <base64 of the seed>`; blank lines are passed
 * over, and there are no comments (`read_signing_keys` in synapse/config/key.py and in signedjson/key.py).
 */
export function parseKeyFile(text: string): KeyFile {
  const keys: SigningKey[] = [];
  const badLines: number[] = [];
  for (const [position, line] of text.split(/\r\n|\r|\n/).entries()) {
    if (line.trim() === "") continue;
    const key = keyOf(line);
    if (key) keys.push(key);
    else badLines.push(position + 1);
  }
  return { keys, badLines };
}

function keyOf(line: string): SigningKey | undefined {
  const [algorithm, version, seed, ...more] = line.trim().split(/\s+/);
  if (algorithm !== "ed25519" || version === undefined || seed === undefined || more.length > 0)
    return undefined;
  const bytes = Buffer.from(seed, "base64");
  return bytes.length === 32 ? { id: `ed25519:${version}`, publicKey: publicKeyOf(bytes) } : undefined;
}

/** RFC 8410: what stands before the 32 bytes of a seed in a PKCS #8 private key. */
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");

function publicKeyOf(seed: Uint8Array): string {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: "der", type: "pkcs8" });
  const { x } = createPublicKey(key).export({ format: "jwk" });
  return Buffer.from(x!, "base64url").toString("base64").replace(/=+$/, "");
}
