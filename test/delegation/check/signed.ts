import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { canonicalJson } from "../../../src/delegation/signed-json.ts";

/** A signing key made of one byte, and what a server with it publishes. */
export function signingKey(byte: number, id = "ed25519:a_test") {
  const seed = Buffer.alloc(32, byte);
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const secret = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const { x } = createPublicKey(secret).export({ format: "jwk" });
  const publicKey = Buffer.from(x!, "base64url").toString("base64").replace(/=+$/, "");
  const publish = (serverName: string, validUntil: number, tamper: object = {}) => {
    const signed = {
      server_name: serverName,
      valid_until_ts: validUntil,
      verify_keys: { [id]: { key: publicKey } },
      old_verify_keys: {},
    };
    const text = canonicalJson(signed)!;
    const signature = sign(undefined, Buffer.from(text), secret).toString("base64").replace(/=+$/, "");
    return { ...signed, signatures: { [serverName]: { [id]: signature } }, ...tamper };
  };
  return { id, publicKey, publish };
}
