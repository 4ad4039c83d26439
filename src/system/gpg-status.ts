import { MigrationError, type GnupgFault } from "../errors.ts";
import type { Ending } from "./call.ts";

/** gpg reports in words that are no language's, among what it says to people (GnuPG, doc/DETAILS). */
export const STATUS = ["--status-fd", "2"] as const;

const PREFIX = "[GNUPG:] ";

/** GPG_ERR_BAD_PASSPHRASE (libgpg-error, err-codes.h.in); an error's code is in its low 16 bits. */
const BAD_PASSPHRASE = 11;
const CODE_BITS = 0xffff;

/** A failure of a gpg that was called with `STATUS`, with what it reported as the reason, and in its message what it said to people. */
export function withFault(failure: MigrationError, { complaint }: Ending): MigrationError {
  const reason = failure.reason;
  if (reason?.kind !== "exit-status") return failure;
  const lines = complaint.split("\n").filter(Boolean);
  const fault = faultIn(lines.flatMap((line) => (line.startsWith(PREFIX) ? line.slice(PREFIX.length) : [])));
  const said = lines.filter((line) => !line.startsWith(PREFIX)).slice(-6);
  const sentence = `${reason.program} failed with exit code ${reason.status}`;
  return new MigrationError(failure.code, said.length === 0 ? sentence : `${sentence}: ${said.join("; ")}`, {
    hint: failure.hint,
    reason: { kind: "gnupg", fault },
  });
}

function faultIn(reports: readonly string[]): GnupgFault {
  const seen = new Set(reports.map((report) => report.split(" ")[0]));
  const errors = reports.map((report) => /^ERROR (\S+) (\d+)/.exec(report));
  // DECRYPTION_INFO comes once there is a session key: here a public key was named, and no secret key gave one.
  const noSessionKey = seen.has("ENC_TO") && seen.has("DECRYPTION_FAILED") && !seen.has("DECRYPTION_INFO");
  if (noSessionKey || seen.has("NO_SECKEY")) return "secret-key";
  if (errors.some((one) => one?.[1]?.startsWith("symkey_decrypt") && codeOf(one[2]!) === BAD_PASSPHRASE))
    return "passphrase";
  // Then what kept it from ending well is no fault of the message: there was no room for what came out.
  if (seen.has("DECRYPTION_OKAY")) return "other";
  return ["NODATA", "UNEXPECTED", "BADMDC", "DECRYPTION_FAILED"].some((one) => seen.has(one))
    ? "damaged"
    : "other";
}

const codeOf = (text: string) => Number(text) & CODE_BITS;
