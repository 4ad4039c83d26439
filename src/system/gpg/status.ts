import { type GnupgFault, MigrationError } from "../../errors.ts";
import type { ExitStatus } from "../programs/programs.ts";
import { describeFailure } from "../programs/running-program.ts";

/** gpg's status lines on standard error, among its messages, the same in every language (GnuPG, doc/DETAILS). */
export const STATUS_ARGUMENTS = ["--status-fd", "2"] as const;

const PREFIX = "[GNUPG:] ";

/** GPG_ERR_BAD_PASSPHRASE (libgpg-error, err-codes.h.in). The code of an error value is in its low 16 bits. */
const BAD_PASSPHRASE = 11;
const CODE_BITS = 0xffff;

/** The failure of a gpg with `STATUS_ARGUMENTS`: the fault becomes the reason, and the status lines go from the message. */
export function withGpgFault(failure: MigrationError, { stderr }: ExitStatus): MigrationError {
  const reason = failure.reason;
  if (reason?.kind !== "exit-status") return failure;
  const lines = stderr.split("\n").filter(Boolean);
  const fault = faultOf(lines.flatMap((line) => (line.startsWith(PREFIX) ? line.slice(PREFIX.length) : [])));
  const said = lines.filter((line) => !line.startsWith(PREFIX)).slice(-6);
  const message = describeFailure(reason);
  return new MigrationError(failure.code, said.length === 0 ? message : `${message}: ${said.join("; ")}`, {
    hint: failure.hint,
    reason: { kind: "gnupg", fault },
  });
}

function faultOf(reports: readonly string[]): GnupgFault {
  const seen = new Set(reports.map((report) => report.split(" ")[0]));
  const errors = reports.map((report) => /^ERROR (\S+) (\d+)/.exec(report));
  // DECRYPTION_INFO is printed once there is a session key: here the message is encrypted to a public key, and no secret
  // key could decrypt the session key.
  const noSessionKey = seen.has("ENC_TO") && seen.has("DECRYPTION_FAILED") && !seen.has("DECRYPTION_INFO");
  if (noSessionKey || seen.has("NO_SECKEY")) return "secret-key";
  if (errors.some((one) => one?.[1]?.startsWith("symkey_decrypt") && codeOf(one[2]!) === BAD_PASSPHRASE))
    return "passphrase";
  // Then the message is intact, and something else failed: the disk may be full.
  if (seen.has("DECRYPTION_OKAY")) return "other";
  return ["NODATA", "UNEXPECTED", "BADMDC", "DECRYPTION_FAILED"].some((one) => seen.has(one))
    ? "damaged"
    : "other";
}

const codeOf = (text: string) => Number(text) & CODE_BITS;
