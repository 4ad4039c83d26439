import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { FOLLOWED_COPY_OPTIONS } from "./options/followed-copy.ts";
import { ACCEPT, DRY_RUN, parseOptions } from "./options/shared.ts";

const schema = z.object({
  out: z.string().min(1),
  target: z
    .url({ protocol: /^https?$/, error: "must begin with https://, as https://new.example.org" })
    .optional(),
  configDir: z.string().min(1).optional(),
  config: z.array(z.string().min(1)).default([]),
  startCommand: z.string().min(1).optional(),
  url: z.url({ protocol: /^https?$/, error: "write a base address: http://127.0.0.1:8008" }).optional(),
  yes: z.boolean().default(false),
  force: z.boolean().default(false),
  ...ACCEPT.schema,
  ...DRY_RUN.schema,
  ...FOLLOWED_COPY_OPTIONS.schema,
});

export const rollbackCommand: Command<z.infer<typeof schema>> = {
  name: "rollback",
  summary: "Cancel the move: undo what export changed on the old host, and start the old server again.",
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--out <folder>", about: "folder of the bundle, as given to export", required: true },
        {
          flags: "--target <url>",
          about: "base address of the new server: rollback refuses if it answers as this homeserver",
        },
        DRY_RUN,
        { flags: "--yes", about: "ask nothing: the new server was never opened, and a copy may end" },
      ],
    },
    {
      heading: "Old and new server",
      options: [
        {
          flags: "--config-dir <folder>",
          about: "the --config-dir given to restore, if that was on this host",
        },
        {
          flags: "--config <path>",
          about: "the old server's configuration, if it has moved since the export",
          many: true,
        },
        {
          flags: "--start-command <command>",
          about: "command that starts the old server, if export did not find one",
        },
        {
          flags: "--url <url>",
          about: "address to check the started server",
          default: "its first unencrypted listener",
        },
      ],
    },
    FOLLOWED_COPY_OPTIONS,
    {
      heading: "Exceptions",
      options: [
        { flags: "--force", about: "even if the new server was opened: data written there is lost" },
        {
          flags: "--accept <id>",
          about:
            "continue if this cannot be undone here, and undo it yourself: fence-database, fence-mask, fence-disable, fence-restart-policy, maintenance, start",
          many: true,
        },
      ],
    },
  ],
  example: "synlift rollback --out /srv/move --target https://new.example.org",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ describeRollback, rollbackDetails, rollbackFailure }, { rollBack }] = await Promise.all([
      import("../move/rollback/result-text.ts"),
      import("../move/rollback/run.ts"),
    ]);
    const here = (path: string) => resolve(system.machine.folder, path);
    const order = {
      folder: here(options.out),
      newServer: {
        configFolder: options.configDir === undefined ? undefined : here(options.configDir),
        target: options.target,
      },
      configPaths: options.config.map(here),
      startCommand: options.startCommand,
      url: options.url,
      yes: options.yes,
      force: options.force,
      accepted: options.accept,
      dryRun: options.dryRun,
      follow: FOLLOWED_COPY_OPTIONS.read(options),
    };
    const result = await rollBack(order, system, view);
    return {
      findings: result.findings,
      details: rollbackDetails(result),
      lines: describeRollback(result),
      failure: rollbackFailure(result),
    };
  },
};
