import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { FOLLOW_FOLDER } from "./options/follow.ts";
import { parseOptions } from "./options/shared.ts";

const schema = z.object(FOLLOW_FOLDER.schema);

export const followStatusCommand: Command<z.infer<typeof schema>> = {
  name: "follow status",
  summary: "Show how a copy that follows is: how far behind, and what the old server keeps for it.",
  options: [{ heading: "Common options", options: [FOLLOW_FOLDER] }],
  example: "synlift follow status --config-dir /etc/matrix-synapse",
  parse: (given) => parseOptions(schema, given),

  async run(options, system) {
    const [{ followStatus }, { statusDetails, statusLines }] = await Promise.all([
      import("../move/follow/status.ts"),
      import("../move/follow/result-text.ts"),
    ]);
    const configDir = resolve(system.machine.folder, options.configDir);
    const status = await followStatus(configDir, system);
    return {
      findings: status?.findings ?? [],
      details: statusDetails(status),
      lines: statusLines(status, configDir),
      failure: status?.failure,
    };
  },
};
