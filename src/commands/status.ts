import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { parseOptions } from "./options/shared.ts";

const schema = z.object({ out: z.string().min(1) });

export const statusCommand: Command<z.infer<typeof schema>> = {
  name: "status",
  summary: "Show the progress of an export. Changes nothing; may be run during the export.",
  options: [
    {
      heading: "Common options",
      options: [{ flags: "--out <folder>", about: "folder of the bundle", required: true }],
    },
  ],
  example: "synlift status --out /srv/move",
  parse: (given) => parseOptions(schema, given),

  async run({ out }, system) {
    const [{ describeStatus, statusDetails, statusFindings }, { readMoveStatus }] = await Promise.all([
      import("../move/old-server/status-text.ts"),
      import("../move/old-server/status.ts"),
    ]);
    const status = await readMoveStatus(resolve(system.machine.folder, out), system);
    return {
      findings: statusFindings(status),
      details: statusDetails(status),
      lines: describeStatus(status),
    };
  },
};
