import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../errors.ts";
import type { Command } from "./command.ts";
import { conflicts, parseOptions, sizeOf, withRules } from "./options/shared.ts";
import { wholeNumber } from "./options/transfer.ts";

const schema = withRules(
  z.object({
    argument: z.string().min(1),
    dir: z.string().min(1),
    url: z
      .url({ protocol: /^https?$/, error: "must begin with https://, as https://upload.example.org" })
      .transform((text) => text.replace(/\/+$/, ""))
      .optional(),
    out: z.string().min(1).optional(),
    days: wholeNumber(1, 3650).default(14),
    limit: z
      .string()
      .default("1t")
      .transform((text) => sizeOf(text, "--limit")),
    revoke: z.boolean().default(false),
  }),
  conflicts("revoke", "url", "out"),
);

export const inviteCommand: Command<z.infer<typeof schema>> = {
  name: "invite",
  summary: "For providers: let one customer send a bundle to synlift receive, or take that back.",
  argument: { name: "NAME", about: "customer, and folder of the bundle: a server name, such as example.org" },
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--dir <folder>", about: "the --dir of synlift receive", required: true },
        { flags: "--url <url>", about: "address of synlift receive for the customer; required to invite" },
        {
          flags: "--out <file>",
          about: "file to write the invitation to, which is given to the customer",
          default: "NAME.invitation",
        },
        { flags: "--days <number>", about: "days until it expires", default: "14" },
        { flags: "--limit <size>", about: "bytes that the customer may store, such as 500g", default: "1t" },
        { flags: "--revoke", about: "take the invitation of that name back; what has arrived stays" },
      ],
    },
  ],
  example:
    "synlift invite example.org --dir /srv/incoming --url https://upload.provider.example --limit 500g",
  parse: (given) => parseOptions(schema, given),

  async run({ argument: name, dir, url, out, days, limit, revoke: takeBack }, system) {
    const [{ invite, revoke }, { inviteDetails, inviteLines }] = await Promise.all([
      import("../move/receive/invite.ts"),
      import("../move/receive/result-text.ts"),
    ]);
    const here = (path: string) => resolve(system.machine.folder, path);
    const folder = here(dir);
    if (takeBack) {
      await revoke(folder, name, system);
      return {
        findings: [],
        details: { name, revoked: true },
        lines: [`the invitation of ${name} is refused now`],
      };
    }
    if (url === undefined)
      throw new MigrationError("bad-usage", "--url: must be given", { hint: "--help shows an example" });
    const result = await invite(
      { folder, name, url, out: here(out ?? `${name}.invitation`), days, limit },
      system,
    );
    return { findings: [], details: inviteDetails(result), lines: inviteLines(result) };
  },
};
