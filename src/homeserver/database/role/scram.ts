import { createHash, createHmac, pbkdf2Sync } from "node:crypto";

/** PostgreSQL's own defaults (scram_iterations; SCRAM_DEFAULT_SALT_LEN in scram-common.h). */
const ITERATIONS = 4096;
export const SALT_BYTES = 16;

/** Printable ASCII, which SASLprep (RFC 4013) leaves as it is. */
export const isPlainPassword = (password: string) => /^[\x20-\x7e]+$/.test(password);

/**
 * What PostgreSQL keeps of a password, in the form in which CREATE ROLE takes it: the password cannot be read from it
 * (PostgreSQL documentation, pg_authid; RFC 5803). `password` must be plain, see `isPlainPassword`.
 */
export function scramVerifier(password: string, salt: Uint8Array): string {
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, "sha256");
  const keyed = (text: string) => createHmac("sha256", salted).update(text).digest();
  const stored = createHash("sha256").update(keyed("Client Key")).digest("base64");
  const server = keyed("Server Key").toString("base64");
  return `SCRAM-SHA-256$${ITERATIONS}:${Buffer.from(salt).toString("base64")}$${stored}:${server}`;
}

/** Until the end of the transaction the server's log gets no statement: whoever has the verifier could try passwords on it. */
export const UNLOGGED =
  "SET LOCAL log_statement = 'none';\nSET LOCAL log_min_duration_statement = -1;\nSET LOCAL log_min_error_statement = 'panic';";
