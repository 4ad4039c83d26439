import { createPublicKey, verify } from "node:crypto";

/** A key as other servers know it. */
export interface PublicKey {
  /** "ed25519:a_EUHY". */
  readonly id: string;
  /** Base64, with or without padding. */
  readonly publicKey: string;
}

/**
 * Whether a server signed this object with this key: the specification's appendices, "Signing JSON". The signature is over
 * the canonical form without `signatures` and `unsigned`. False also for what has no canonical form.
 */
export function isSignedBy(
  object: Readonly<Record<string, unknown>>,
  serverName: string,
  { id, publicKey }: PublicKey,
): boolean {
  const { signatures, unsigned: _, ...signed } = object;
  const all = isObject(signatures) ? signatures[serverName] : undefined;
  const signature = isObject(all) ? all[id] : undefined;
  const x = Buffer.from(publicKey, "base64");
  if (typeof signature !== "string" || x.length !== 32) return false;
  const text = canonicalJson(signed);
  if (text === undefined) return false;
  const key = createPublicKey({
    key: { kty: "OKP", crv: "Ed25519", x: x.toString("base64url") },
    format: "jwk",
  });
  return verify(undefined, Buffer.from(text), key, Buffer.from(signature, "base64"));
}

/**
 * Keys sorted by code point, no spaces: the specification's appendices, "Canonical JSON". Undefined for what cannot be
 * written so: a number that is no integer between -(2^53 - 1) and 2^53 - 1.
 */
export function canonicalJson(value: unknown): string | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) ? String(value) : undefined;
  if (Array.isArray(value)) {
    const items = value.map(canonicalJson);
    return items.includes(undefined) ? undefined : `[${items.join(",")}]`;
  }
  if (!isObject(value)) return JSON.stringify(value);
  // By bytes of UTF-8, which is by code point; the order of JavaScript is that of UTF-16.
  const keys = Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const members: string[] = [];
  for (const key of keys) {
    const text = canonicalJson(value[key]);
    if (text === undefined) return undefined;
    members.push(`${JSON.stringify(key)}:${text}`);
  }
  return `{${members.join(",")}}`;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
