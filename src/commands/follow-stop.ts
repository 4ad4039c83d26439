import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { FOLLOW_FOLDER, SYSTEMD_DIR_OPTION } from "./options/follow.ts";
import { DRY_RUN, parseOptions } from "./options/shared.ts";

const schema = z.object({
  ...FOLLOW_FOLDER.schema,
  ...SYSTEMD_DIR_OPTION.schema,
  ...DRY_RUN.schema,
  yes: z.boolean().default(false),
  oldHostGone: z.boolean().default(false),
});

export const followStopCommand: Command<z.infer<typeof schema>> = {
  name: "follow stop",
  summary:
    "End a copy that follows: take away what was made on the old host, and delete the copy. Never a promoted database.",
  options: [
    {
      heading: "Common options",
      options: [
        FOLLOW_FOLDER,
        { flags: "--yes", about: "delete the copy without asking" },
        {
          flags: "--old-host-gone",
          about: "leave the old host alone, because it cannot be reached any more",
        },
        SYSTEMD_DIR_OPTION,
        DRY_RUN,
      ],
    },
  ],
  example: "synlift follow stop --config-dir /etc/matrix-synapse",
  parse: (given) => parseOptions(schema, given),

  async run({ yes, dryRun, oldHostGone, ...options }, system, view) {
    const [{ endFollowing }, { stopDetails, stopLines }] = await Promise.all([
      import("../move/follow/end.ts"),
      import("../move/follow/result-text.ts"),
    ]);
    const here = (path: string) => resolve(system.machine.folder, path);
    const result = await endFollowing(
      {
        configDir: here(options.configDir),
        systemdDir: here(options.systemdDir),
        yes,
        dryRun,
        isOldHostGone: oldHostGone,
      },
      system,
      view,
    );
    return { findings: result.findings, details: stopDetails(result), lines: stopLines(result) };
  },
};
