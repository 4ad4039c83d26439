import { z } from "zod";
import type { Command } from "./command.ts";
import { LAYOUT_OPTIONS } from "./options/layout.ts";
import { OLD_HOST_OPTIONS } from "./options/old-host.ts";
import { conflicts, DRY_RUN, exactlyOne, parseOptions, withRules, TRACE } from "./options/shared.ts";
import { restoreDetails, TARGET_GROUPS, TARGET_SCHEMA, targetOf } from "./options/target.ts";

const schema = withRules(
  z.object({
    ...OLD_HOST_OPTIONS.schema,
    followed: z.boolean().default(false),
    rehearse: z.boolean().default(false),
    yes: z.boolean().default(false),
    compress: z.boolean().default(false),
    ...DRY_RUN.schema,
    ...TARGET_SCHEMA,
  }),
  exactlyOne(
    "give either the address of the old host, ssh://[user@]host[:port], or --from-command",
    "argument",
    "fromCommand",
  ),
  conflicts("followed", "compress", "createRole", "port"),
  conflicts("fromCommand", "exportCommand", "exportFolder", "sshConfig", "maintenance"),
);

export const pullCommand: Command<z.infer<typeof schema>> = {
  name: "pull",
  summary:
    "Transfer the homeserver directly from its old host, without a bundle. The new server stays fenced until `open`.",
  argument: {
    name: "ADDRESS",
    about: "the old host, with synlift installed: ssh://[user@]host[:port]; left out with --from-command",
    optional: true,
  },
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--followed",
          about:
            "cut over to the copy that `synlift follow` keeps on this host, instead of transferring the database: the outage does not grow with it",
        },
        {
          flags: "--rehearse",
          about:
            "rehearse: the old server keeps running; with --followed, all rows are compared with those of the copy, and no more",
        },
        DRY_RUN,
        { flags: "--yes", about: "stop and fence the old server without asking" },
        {
          flags: "--compress",
          about: "compress the database during the transfer, for a slow connection",
        },
        TRACE,
      ],
    },
    ...TARGET_GROUPS,
    OLD_HOST_OPTIONS,
  ],
  example:
    "synlift pull ssh://root@old.example.org --layout debian --database 'dbname=synapse user=synapse host=127.0.0.1' " +
    "--database-password-file /root/db.password",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ pullHomeserver }, { describePull }, { sayingWhereCopyIs }] = await Promise.all([
      import("../move/direct/pull.ts"),
      import("../move/direct/result-text.ts"),
      import("../move/direct/followed/copy.ts"),
    ]);
    const layout = LAYOUT_OPTIONS.read(options, system);
    const sender = OLD_HOST_OPTIONS.read(options, system);
    // The role is there with the copy: what keeps it out is something else.
    const target = options.followed
      ? await sayingWhereCopyIs(layout.configDir, system, () =>
          targetOf(options, layout, system, { offersRole: false }),
        )
      : await targetOf(options, layout, system);
    const result = await pullHomeserver(
      {
        sender,
        followed: options.followed,
        rehearsal: options.rehearse,
        dryRun: options.dryRun,
        yes: options.yes,
        compress: options.compress,
        target,
      },
      system,
      view,
    );
    const details =
      result.kind === "compared"
        ? { compared: { at: result.at, position: result.position } }
        : restoreDetails(result);
    return { findings: result.findings, details, lines: describePull(result) };
  },
};
