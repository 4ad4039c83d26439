import { z } from "zod";
import { MigrationError } from "../errors.ts";
import type { System } from "../system/system.ts";

/** The name of a customer: also that of a folder, so nothing that leads out of one, and no case that a file system folds. */
export const CUSTOMER_NAME = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/;

/** "NAME.SECRET", with 43 characters of base64url. */
const TOKEN = /^([a-z0-9][a-z0-9.-]{0,62})\.([A-Za-z0-9_-]{43})$/;

const schema = z.object({
  format: z.literal("synlift-invitation"),
  version: z.literal(1),
  /** Where bundles are sent to. */
  url: z.url({ protocol: /^https?$/ }),
  token: z.string().regex(TOKEN),
  /** ISO 8601. */
  expires: z.string(),
  /** Bytes. */
  limit: z.int().positive(),
});

/** What a provider gives to one customer. The token is a secret. */
export type Invitation = z.infer<typeof schema>;

/** What a client needs of an invitation. */
export interface InvitationToken {
  readonly token: string;
  readonly name: string;
  /** The address that it is for; undefined when only the token was given. */
  readonly url: string | undefined;
}

export function parseToken(text: string): { readonly name: string; readonly secret: string } | undefined {
  const [, name, secret] = TOKEN.exec(text) ?? [];
  return name === undefined || secret === undefined || !CUSTOMER_NAME.test(name)
    ? undefined
    : { name, secret };
}

export const invitationText = (invitation: Invitation): string => `${JSON.stringify(invitation, null, 2)}\n`;

/** Bytes of an invitation's file. */
const LIMIT = 64 * 1024;

/**
 * The invitation in a file, or what is typed when there is none: all of the file, or only its token. Throws `bad-usage` and
 * `file-missing`; no message contains the token.
 */
export async function readInvitation(
  path: string | undefined,
  { files, terminal }: Pick<System, "files" | "terminal">,
): Promise<InvitationToken> {
  if (path === undefined && !terminal.interactive)
    throw new MigrationError("bad-usage", "the invitation of the provider is required", {
      hint: "give its file with --invitation, or run this in a terminal to be asked for the token in it",
    });
  const text =
    path === undefined
      ? await terminal.askSecret("Token of the invitation")
      : new TextDecoder().decode(await files.readWhole(path, LIMIT));
  const found = parsed(text.trim());
  if (found !== undefined) return found;
  throw new MigrationError("bad-usage", `${path ?? "what you typed"} is no invitation`, {
    hint: "it is the file that the provider made with synlift invite, or the token in that file",
  });
}

function parsed(text: string): InvitationToken | undefined {
  const alone = parseToken(text);
  if (alone) return { token: text, name: alone.name, url: undefined };
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { success, data } = schema.safeParse(raw);
  const name = success ? parseToken(data.token)?.name : undefined;
  return success && name !== undefined ? { token: data.token, name, url: data.url } : undefined;
}
