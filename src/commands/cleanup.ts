import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../errors.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./options/shared.ts";

const DAYS_ERROR = "write a number of days from 0 to 3650";

const schema = z
  .object({
    out: z.string().min(1).optional(),
    configDir: z.string().min(1).optional(),
    target: z
      .url({ protocol: /^https?$/, error: "must begin with https://, as https://new.example.org" })
      .optional(),
    after: z.coerce.number(DAYS_ERROR).min(0, DAYS_ERROR).max(3650, DAYS_ERROR).default(14),
    yes: z.boolean().default(false),
  })
  .refine(({ out, configDir }) => out !== undefined || configDir !== undefined, {
    error: "give --out, --config-dir or both",
  });

export const cleanupCommand: Command<z.infer<typeof schema>> = {
  name: "cleanup",
  summary:
    "List what is left of a finished move on this host, with sizes and reasons; with --yes, remove it.",
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--out <folder>", about: "folder of the bundle, on either host" },
        {
          flags: "--config-dir <folder>",
          about:
            "on the new host: the --config-dir given to restore; its record says when the server was opened",
        },
        {
          flags: "--target <url>",
          about: "on the old host: base address of the new server, which must answer as this homeserver",
        },
        { flags: "--after <days>", about: "days of waiting after the opening", default: "14" },
        { flags: "--yes", about: "remove it" },
      ],
    },
  ],
  example: "synlift cleanup --out /srv/move --target https://new.example.org --yes",
  parse: (given) => parseOptions(schema, given),

  async run(options, system) {
    const [{ cleanUp }, { cleanupDetails, describeCleanup }] = await Promise.all([
      import("../move/cleanup/run.ts"),
      import("../move/cleanup/result-text.ts"),
    ]);
    const here = (path: string | undefined) =>
      path === undefined ? undefined : resolve(system.machine.folder, path);
    const result = await cleanUp(
      {
        folder: here(options.out),
        configFolder: here(options.configDir),
        target: options.target,
        days: options.after,
        yes: options.yes,
      },
      system,
    );
    return {
      findings: result.findings,
      details: cleanupDetails(result),
      lines: describeCleanup(result),
      failure:
        result.kind === "refused"
          ? new MigrationError(
              "found-blockers",
              "nothing was removed: it is needed until the blockers above are gone",
              {
                hint: "each blocker says what resolves it",
              },
            )
          : undefined,
    };
  },
};
