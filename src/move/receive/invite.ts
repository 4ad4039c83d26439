import { MigrationError } from "../../errors.ts";
import { saveInvitation, revokeInvitation } from "./invitations.ts";
import type { System } from "../../system/system.ts";
import { CUSTOMER_NAME, invitationText } from "../../transfer/invitation.ts";

export interface InviteOrder {
  readonly folder: string;
  /** The customer's name, and that of the folder. */
  readonly name: string;
  /** Where the customer sends to. */
  readonly url: string;
  /** File of the invitation here. */
  readonly out: string;
  readonly days: number;
  /** Bytes. */
  readonly limit: number;
}

export interface InviteResult extends InviteOrder {
  /** ISO 8601. */
  readonly expires: string;
}

type Host = Pick<System, "files" | "machine">;

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Makes an invitation for one customer, and replaces an earlier one of that name. Its token is in the file only: of what `receive` reads,
 * only its hash. Throws `bad-usage`, and `target-not-empty` when the file exists.
 */
export async function invite(order: InviteOrder, { files, machine }: Host): Promise<InviteResult> {
  const { folder, name, url, out, days, limit } = order;
  assertName(name);
  if (await files.lstat(out))
    throw new MigrationError("target-not-empty", `${out} exists already`, {
      hint: "choose another file with --out; an invitation that was lost is replaced by a new one",
    });
  const token = `${name}.${Buffer.from(machine.random(32)).toString("base64url")}`;
  const created = new Date(machine.now()).toISOString();
  const expires = new Date(machine.now() + days * DAY_MS).toISOString();
  await saveInvitation(folder, { name, token, created, expires, limit }, files);
  await files.writeAtomically(
    out,
    invitationText({ format: "synlift-invitation", version: 1, url, token, expires, limit }),
  );
  return { ...order, expires };
}

/** Throws `bad-usage`, and `file-missing` when there is none. */
export async function revoke(folder: string, name: string, { files }: Pick<Host, "files">): Promise<void> {
  assertName(name);
  if (await revokeInvitation(folder, name, files)) return;
  throw new MigrationError("file-missing", `there is no invitation for ${name} in ${folder}`, {
    hint: "check the name, and the folder that is given to synlift receive",
  });
}

function assertName(name: string): void {
  if (CUSTOMER_NAME.test(name)) return;
  throw new MigrationError("bad-usage", `${JSON.stringify(name)} is no name for a customer's folder`, {
    hint: "use lower case letters, digits, dots and dashes, such as the server name: example.org",
  });
}
