import { isSignedBy, type PublicKey } from "./signed-json.ts";
import { asObject } from "./well-known.ts";

/** The keys of a server as it publishes them, or as a notary passes them on. */
export interface KeyAnswer {
  readonly serverName: string;
  /** Without padding. */
  readonly keys: readonly PublicKey[];
  readonly oldKeys: readonly string[];
  /** Milliseconds since 1970; undefined when it is missing. */
  readonly validUntil: number | undefined;
  /** Ids of keys with which the answer is not signed, or wrongly. */
  readonly unverified: readonly string[];
}

/** Reads `/_matrix/key/v2/server`, or one of `server_keys` of a notary; undefined when it is something else. */
export function readKeyAnswer(body: Readonly<Record<string, unknown>> | undefined): KeyAnswer | undefined {
  const [serverName, given] = [body?.["server_name"], asObject(body?.["verify_keys"])];
  if (body === undefined || typeof serverName !== "string" || !given) return undefined;
  const keys = Object.entries(given).flatMap(([id, value]) => {
    const key = asObject(value)?.["key"];
    return typeof key === "string" ? [{ id, publicKey: key.replace(/=+$/, "") }] : [];
  });
  const until = body["valid_until_ts"];
  return {
    serverName,
    keys,
    oldKeys: Object.keys(asObject(body["old_verify_keys"]) ?? {}),
    validUntil: typeof until === "number" ? until : undefined,
    unverified: keys.filter((key) => !isSignedBy(body, serverName, key)).map(({ id }) => id),
  };
}
