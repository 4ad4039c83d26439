import { createHash, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { System } from "../../system/system.ts";
import { parseToken } from "../../transfer/invitation.ts";
import { layoutOf } from "./layout.ts";

const schema = z.object({
  format: z.literal("synlift-invited"),
  version: z.literal(1),
  name: z.string(),
  /** Of the whole token, which is random and long: so no salt, and no slow function. */
  tokenSha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** ISO 8601. */
  created: z.string(),
  expires: z.string(),
  /** Bytes. */
  limit: z.int().positive(),
});

/** What is kept of an invitation; the token itself is not. */
export type Invited = z.infer<typeof schema>;

const hashOf = (token: string) => createHash("sha256").update(token).digest();

/** Replaces an earlier invitation of that name, whose token is refused from then on. */
export async function saveInvitation(
  root: string,
  { token, ...about }: { name: string; token: string; created: string; expires: string; limit: number },
  files: System["files"],
): Promise<void> {
  const { invitations, invitation } = layoutOf(root);
  await files.makeFolder(invitations);
  const invited: Invited = {
    format: "synlift-invited",
    version: 1,
    ...about,
    tokenSha256: hashOf(token).toString("hex"),
  };
  await files.writeAtomically(invitation(about.name), `${JSON.stringify(invited, null, 2)}\n`);
}

/** False when there was none. What was received stays. */
export async function revokeInvitation(root: string, name: string, files: System["files"]): Promise<boolean> {
  const path = layoutOf(root).invitation(name);
  if (!(await files.lstat(path))) return false;
  await files.remove(path);
  await files.syncFolder(layoutOf(root).invitations);
  return true;
}

/** Throws `file-failed` for a file that is none. */
export async function readInvited(
  root: string,
  name: string,
  files: System["files"],
): Promise<Invited | undefined> {
  const path = layoutOf(root).invitation(name);
  if ((await files.lstat(path))?.kind !== "file") return undefined;
  try {
    return schema.parse(JSON.parse(await files.readText(path)));
  } catch (error) {
    if (error instanceof MigrationError) throw error;
    throw new MigrationError("file-failed", `${path} is no invitation`, {
      hint: "make it again with synlift invite",
      cause: error,
    });
  }
}

/** Whom a token belongs to. Read anew for each request, so that a revoked one is refused at once. */
export async function invitedBy(
  root: string,
  token: string,
  { files, machine }: Pick<System, "files" | "machine">,
): Promise<Invited | "refused" | "expired"> {
  const name = parseToken(token)?.name;
  if (name === undefined) return "refused";
  const invited = await readInvited(root, name, files);
  if (invited?.name !== name) return "refused";
  if (!timingSafeEqual(hashOf(token), Buffer.from(invited.tokenSha256, "hex"))) return "refused";
  return Date.parse(invited.expires) > machine.now() ? invited : "expired";
}
